import { hostImageName, type Image } from '../../domain/image.js';
import type { Images } from '../images.js';

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

/** Images that a test makes up. */
export class FakeImages implements Images {
  readonly #images = new Map<string, Image>([[host.name, host]]);

  /** One like `.host`, but for what is given. */
  add(image: Pick<Image, 'name'> & Partial<Image>): Image {
    const added: Image = { ...host, path: `/var/lib/machines/${image.name}`, readOnly: image.name.startsWith('.'), ...image };
    this.#images.set(added.name, added);
    return added;
  }

  remove(name: string): void {
    this.#images.delete(name);
  }

  async list(): Promise<readonly Image[]> {
    return [...this.#images.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  find(name: string): Image | undefined {
    return this.#images.get(name);
  }
}
