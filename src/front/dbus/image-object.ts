import type { ObjectKind } from './objects.js';

/** The objects below /org/freedesktop/machine1/image: none, as long as images are not looked for. */
export function imageObjects(): ObjectKind {
  return { interfaces: [], find: () => undefined };
}
