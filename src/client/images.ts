import { noLimit, type Backend } from './backend.js';
import type { CallSettings, Image, MetadataSettings, Pool, RemovedImage } from './model.js';

/** Runs a call on the protocol that has it. `long`: it takes as long as it takes, unless a time limit was given. */
export type Runner = <T>(run: (backend: Backend, settings: CallSettings) => Promise<T>, settings: CallSettings, long?: 'long') => Promise<T>;

/** What machines are started from. All methods reject with MachinedError, or with the reason of the signal. */
export class MachineImages {
  readonly #run: Runner;

  /** @internal */
  constructor(run: Runner) {
    this.#run = run;
  }

  /** All images, the host's own ('.host') included. */
  list(settings: MetadataSettings = {}): Promise<readonly Image[]> {
    return this.#run((backend, limits) => backend.listImages({ ...limits, metadata: settings.metadata }), settings);
  }

  /** One image. Rejects with `no-such-image`. */
  get(name: string, settings: MetadataSettings = {}): Promise<Image> {
    return this.#run((backend, limits) => backend.getImage(name, { ...limits, metadata: settings.metadata }), settings);
  }

  /** Makes another image of the same contents. */
  clone(name: string, newName: string, settings: CallSettings & { readonly readOnly?: boolean | undefined } = {}): Promise<void> {
    return this.#run((backend, limits) => backend.cloneImage(name, newName, settings.readOnly ?? false, limits), settings, 'long');
  }

  /** Gives an image another name. */
  rename(name: string, newName: string, settings: CallSettings = {}): Promise<void> {
    return this.#run((backend, limits) => backend.renameImage(name, newName, limits), settings, 'long');
  }

  /** Removes an image for good. */
  remove(name: string, settings: CallSettings = {}): Promise<void> {
    return this.#run((backend, limits) => backend.removeImage(name, limits), settings, 'long');
  }

  /** Protects an image from changes, or lets them happen again. */
  setReadOnly(name: string, readOnly: boolean, settings: CallSettings = {}): Promise<void> {
    return this.#run((backend, limits) => backend.setImageReadOnly(name, readOnly, limits), settings);
  }

  /** Limits the bytes that an image may take; undefined lifts the limit. */
  setLimit(name: string, bytes: number | bigint | undefined, settings: CallSettings = {}): Promise<void> {
    return this.#run((backend, limits) => backend.setImageLimit(name, limitOf(bytes), limits), settings);
  }

  /** Where images are, and what they take together. Over D-Bus only. */
  pool(settings: CallSettings = {}): Promise<Pool> {
    return this.#run((backend, limits) => backend.pool(limits), settings);
  }

  /** Limits the bytes that all images together may take; undefined lifts the limit. */
  setPoolLimit(bytes: number | bigint | undefined, settings: CallSettings = {}): Promise<void> {
    return this.#run((backend, limits) => backend.setPoolLimit(limitOf(bytes), limits), settings);
  }

  /** Removes images that are not needed: those whose name begins with a dot, or all that no machine uses. */
  clean(mode: 'hidden' | 'all', settings: CallSettings = {}): Promise<readonly RemovedImage[]> {
    return this.#run((backend, limits) => backend.cleanPool(mode, limits), settings, 'long');
  }
}

function limitOf(bytes: number | bigint | undefined): bigint {
  return bytes === undefined ? noLimit : BigInt(bytes);
}
