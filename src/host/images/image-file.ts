import { realpathSync } from 'node:fs';
import type { Image } from '../../domain/image.js';
import type { ImageEntry, ImageForm } from '../../domain/image-entry.js';
import { sortVersions } from '../../domain/versioned.js';
import { readFileStatus, type FileKind, type FileStatus } from '../kernel/file-status.js';
import { CachedNames } from './cached-names.js';
import { describeImage, isReadOnlyPlace } from './describe.js';

export interface FoundImage {
  readonly entry: ImageEntry;
  readonly image: Image;
}

interface RealFile {
  /** Free of symbolic links. */
  readonly path: string;
  readonly status: FileStatus;
  /** It is not at the end of a symbolic link. */
  readonly isPlain: boolean;
}

/** A lasting description, and what it was made of. */
interface Remembered extends FoundImage, RealFile {
  readonly inReadOnlyPlace: boolean;
}

/** As systemd calls what this machine runs, its own first. */
const runnableArchitectures: Partial<Record<NodeJS.Architecture, readonly string[]>> = {
  x64: ['x86-64', 'x86'],
  arm64: ['arm64', 'arm'],
  riscv64: ['riscv64'],
};

const kindsOfContent: Readonly<Record<ImageForm['content'], readonly FileKind[]>> = {
  tree: ['directory', 'block'],
  file: ['file'],
  stack: ['directory'],
};

/** One file in a directory of images, which may be an image. */
export class ImageFile {
  readonly #path: string;
  readonly #entries: readonly ImageEntry[];
  #versions: CachedNames | undefined;
  #remembered: Remembered | undefined;

  /** `directory` is free of symbolic links; `entries` are what the file may be. */
  constructor(directory: string, file: string, entries: readonly ImageEntry[]) {
    this.#path = `${directory}/${file}`;
    this.#entries = entries;
  }

  /**
   * The image that it is now. Returns the same one again if nothing changed. `inReadOnlyPlace` is what isReadOnlyPlace says of
   * its directory, if that is known. Throws what the system says.
   */
  look(inReadOnlyPlace?: boolean): FoundImage | undefined {
    const real = findRealFile(this.#path);
    if (real === undefined) return undefined;
    const { kind } = real.status;
    for (const entry of this.#entries) {
      const { versioned, content } = entry.form;
      if (versioned && kind === 'directory') return this.#lookForVersion(real.path, entry);
      if (!versioned && kindsOfContent[content].includes(kind)) return this.#describe(entry, real, inReadOnlyPlace);
    }
    return undefined;
  }

  #lookForVersion(directory: string, entry: ImageEntry): FoundImage | undefined {
    const { name, form } = entry;
    const ending = form.ending.slice(0, -'.v'.length);
    const runnable = runnableArchitectures[process.arch] ?? [];
    if (this.#versions?.path !== directory) this.#versions = new CachedNames(directory);
    for (const { file } of sortVersions(this.#versions.read(), name, ending, runnable)) {
      const real = findRealFile(`${directory}/${file}`);
      const isContent = real !== undefined && isVersionContent(real.status.kind, form);
      if (isContent) return this.#describe(entry, real);
    }
    return undefined;
  }

  #describe(entry: ImageEntry, { path, status, isPlain }: RealFile, directoryIsReadOnly?: boolean): FoundImage {
    // what is in a place that can be written to can be, too, unless it is a place of its own
    const isLikeDirectory = directoryIsReadOnly === false && isPlain && !status.maybeMounted;
    const inReadOnlyPlace = isLikeDirectory ? false : isReadOnlyPlace(path);
    const last = this.#remembered;
    const isSame =
      last?.entry === entry && last.path === path && last.inReadOnlyPlace === inReadOnlyPlace && last.status.equals(status);
    if (isSame) return last;
    const { image, lasting } = describeImage(entry.name, path, status, inReadOnlyPlace);
    const found = { entry, image, path, status, isPlain, inReadOnlyPlace };
    this.#remembered = lasting ? found : undefined;
    return found;
  }
}

/** Block devices have no versions. */
function isVersionContent(kind: FileKind, form: ImageForm): boolean {
  return kind === (form.content === 'file' ? 'file' : 'directory');
}

/** Undefined if there is none, at the end of a link for example. Throws what the system says. */
function findRealFile(path: string): RealFile | undefined {
  const status = readFileStatus(path, 'as-links');
  if (status?.kind !== 'link') return status === undefined ? undefined : { path, status, isPlain: true };
  const target = readFileStatus(path, 'follow');
  return target === undefined ? undefined : { path: realpathSync.native(path), status: target, isPlain: false };
}
