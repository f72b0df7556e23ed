import { isImageName } from './image.js';

/** What has to be in a directory for an entry of it to be an image. */
export interface ImageForm {
  /** Where several entries of a directory have one name, the least is the image. */
  readonly precedence: number;
  /** What follows the image's name in the entry's. */
  readonly ending: string;
  /** tree: a directory or a block device; file: a regular file; stack: a directory. */
  readonly content: 'tree' | 'file' | 'stack';
  /** The entry is a directory of versions, each such a content; see versioned.ts. */
  readonly versioned: boolean;
}

/** What a file may be: the type of the file decides whether it is. */
export interface ImageEntry {
  readonly file: string;
  /** The image's. */
  readonly name: string;
  readonly form: ImageForm;
}

const forms: readonly ImageForm[] = [
  { precedence: 0, ending: '', content: 'tree', versioned: false },
  { precedence: 1, ending: '.raw', content: 'file', versioned: false },
  { precedence: 2, ending: '.mstack', content: 'stack', versioned: false },
  { precedence: 3, ending: '.v', content: 'tree', versioned: true },
  { precedence: 4, ending: '.raw.v', content: 'file', versioned: true },
  { precedence: 5, ending: '.mstack.v', content: 'stack', versioned: true },
];

/** Forms whose ending stays part of the name, for whoever asks for exactly that file. */
const wholeFile: ImageForm = { precedence: 0, ending: '', content: 'file', versioned: false };
const wholeStack: ImageForm = { precedence: 0, ending: '', content: 'stack', versioned: false };

/** Whether a file of each form can have that name: 255 bytes is the longest there is. */
export function canBeFile(name: string): boolean {
  return forms.every(({ ending }) => Buffer.byteLength(name + ending) <= 255);
}

/** What a file in a directory of images may be. A file of one type is one of these at most. */
export function readEntryName(file: string): readonly ImageEntry[] {
  const found: ImageEntry[] = [];
  for (const form of forms) {
    if (!file.endsWith(form.ending) || isForMoreSpecial(file, form)) continue;
    const name = file.slice(0, file.length - form.ending.length);
    if (isImageName(name)) found.push({ file, name, form });
  }
  return found;
}

/** A directory whose name says what is in it is not taken for a plain one. */
function isForMoreSpecial(file: string, { ending }: ImageForm): boolean {
  if (ending === '') return file.endsWith('.v') || file.endsWith('.mstack');
  return ending === '.v' && (file.endsWith('.raw.v') || file.endsWith('.mstack.v'));
}

/**
 * The files that may be the image of that name, best first; none if it is no name. A name that ends as a file's does
 * ('x.raw') may also mean just that file, and is then its name.
 */
export function entriesOfName(name: string): readonly ImageEntry[] {
  const found: ImageEntry[] = [];
  for (const { ending } of forms) {
    found.push(...readEntryName(name + ending).filter((entry) => entry.name === name));
  }
  if (!isImageName(name)) return found;
  if (name.endsWith('.raw')) found.unshift({ file: name, name, form: wholeFile });
  if (name.endsWith('.mstack')) found.unshift({ file: name, name, form: wholeStack });
  return found;
}
