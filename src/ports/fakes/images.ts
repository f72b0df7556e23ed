import { hostImageName, type Image } from '../../domain/image.js';
import { systemFailure } from '../../domain/failure.js';
import { unwatched, type WorkControl } from '../../domain/operations.js';
import type { ImageChanges, ImageContents, ImageLimit, ImageMetadata, Images, ImageUpdate } from '../images.js';

const host: Image = {
  name: hostImageName,
  path: '/',
  type: 'directory',
  readOnly: true,
  creationTime: 0n,
  modificationTime: 0n,
  usage: undefined,
  usageExclusive: undefined,
  limit: undefined,
  limitExclusive: undefined,
};

/** Images that a test makes up, changes and looks into. */
export class FakeImages implements Images, ImageChanges, ImageContents {
  /** What images say of themselves, by their names. */
  readonly contents = new Map<string, Partial<ImageMetadata>>();
  /** What every change fails with, if anything: an errno. */
  failure: string | undefined;
  poolLimit: bigint | undefined;
  /** Images that something runs from. */
  readonly inUse = new Set<string>();
  /** When an image is removed. */
  removalsEnd = async (_image: Image): Promise<void> => undefined;
  /** When a clone is made. */
  clonesEnd = async (_image: Image, _canceled: AbortSignal): Promise<void> => undefined;
  readonly #images = new Map<string, Image>([[host.name, host]]);

  /** One like `.host`, but for what is given. */
  add(image: Pick<Image, 'name'> & Partial<Image>): Image {
    const added: Image = { ...host, path: `/var/lib/machines/${image.name}`, readOnly: image.name.startsWith('.'), ...image };
    this.#images.set(added.name, added);
    return added;
  }

  async metadata({ name }: Image): Promise<ImageMetadata> {
    if (this.failure !== undefined) throw systemFailure(this.failure, this.failure);
    const nothing = { hostname: undefined, machineId: undefined, machineInfo: new Map<string, string>(), osRelease: new Map<string, string>() };
    return { ...nothing, ...this.contents.get(name) };
  }

  forget(name: string): void {
    this.#images.delete(name);
  }

  async remove(image: Image, { report }: Pick<WorkControl, 'report'> = unwatched): Promise<void> {
    this.#refuse(image);
    report({ filesDone: 1 });
    await this.removalsEnd(image);
    this.#images.delete(image.name);
  }

  async clone(image: Image, newName: string, readOnly: boolean, { report, canceled } = unwatched): Promise<void> {
    this.#refuseTaken(newName);
    report({ filesDone: 1 });
    await this.clonesEnd(image, canceled);
    if (canceled.aborted) throw systemFailure('ECANCELED', 'Operation canceled');
    this.add({ ...image, name: newName, path: `/var/lib/machines/${newName}`, readOnly });
  }

  async update(image: Image, { newName, readOnly, limit }: ImageUpdate): Promise<void> {
    this.#refuse(image, newName !== undefined || readOnly !== undefined);
    if (newName !== undefined) this.#refuseTaken(newName);
    if (limit !== undefined && image.type !== 'subvolume') throw systemFailure('EOPNOTSUPP', 'Operation not supported');
    const current = this.#images.get(image.name) ?? image;
    this.#images.delete(image.name);
    this.add({
      ...current,
      ...(newName !== undefined && { name: newName, path: `/var/lib/machines/${newName}` }),
      ...(readOnly !== undefined && { readOnly }),
      ...(limit !== undefined && { limit: limit === 'none' ? undefined : limit }),
    });
  }

  async setPoolLimit(limit: ImageLimit): Promise<void> {
    if (this.failure !== undefined) throw systemFailure(this.failure, this.failure);
    this.poolLimit = limit === 'none' ? undefined : limit;
  }

  async list(): Promise<readonly Image[]> {
    return [...this.#images.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  find(name: string): Image | undefined {
    return this.#images.get(name);
  }

  #refuse(image: Image, isExclusive = true): void {
    if (this.failure !== undefined) throw systemFailure(this.failure, this.failure);
    if (image.name === hostImageName) throw systemFailure('EROFS', 'Read-only file system');
    if (!this.#images.has(image.name)) throw systemFailure('ENOENT', 'No such file or directory');
    if (isExclusive && this.inUse.has(image.name)) throw systemFailure('EBUSY', 'Device or resource busy');
  }

  #refuseTaken(name: string): void {
    if (name === hostImageName) throw systemFailure('EBUSY', 'Device or resource busy');
    if (this.#images.has(name)) throw systemFailure('EEXIST', 'File exists');
  }
}
