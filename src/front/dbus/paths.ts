import { escapeLabel, unescapeLabel } from '../../wire/dbus/object-path.js';

export const busName = 'org.freedesktop.machine1';
export const managerPath = '/org/freedesktop/machine1';
export const machinesPath = `${managerPath}/machine`;
export const imagesPath = `${managerPath}/image`;
/** What the original does not have is apart from what it has. */
export const ownPath = '/io/machined';
export const logControlPath = '/org/freedesktop/LogControl1';

const rememberedPaths = 20_000; // more than that many objects at once only costs the escaping again

/** The object path of a machine. */
export const machinePath = pathsBelow(machinesPath);

/** The object path of an image. */
export const imagePath = pathsBelow(imagesPath);

function pathsBelow(prefix: string): (name: string) => string {
  const paths = new Map<string, string>();
  return (name) => {
    const known = paths.get(name);
    if (known !== undefined) return known;
    if (paths.size >= rememberedPaths) paths.clear();
    const path = `${prefix}/${escapeLabel(name)}`;
    paths.set(name, path);
    return path;
  };
}

/** The name that the last part of an object path stands for, or undefined if it stands for none. */
export function nameInPath(path: string): string | undefined {
  return unescapeLabel(path.slice(path.lastIndexOf('/') + 1));
}
