import { fchmodSync, fchownSync, ftruncateSync, opendirSync, readSync, writeSync, type Dirent } from 'node:fs';
import { constants } from 'node:fs';
import {
  O_CREAT, O_DIRECTORY, O_EXCL, O_PATH, O_WRONLY, changeOwner, cloneContents, copyRange, copyAttributes, linkOpenFile,
  locateBeneath, makeDirectory, makeNode, makeSymbolicLink, nextData, nextHole, openEntry, openUnmounted, readSymbolicLink,
  removeEntry, reopen, renameEntry, setOpenTimes, setTimes,
} from '../kernel/file-calls.js';
import { statusOf, type EntryStatus } from '../kernel/entry-status.js';
import { close } from '../kernel/libc.js';
import { errnoNameOf, errnos, SystemError } from '../kernel/system-error.js';
import type { Amount, Meter } from './work-meter.js';

/** An entry of a directory that is open. */
export interface Place {
  readonly directory: number;
  readonly name: Buffer;
}

export interface TreeCopyOptions {
  /** Whose everything becomes that is made; undefined: whose it is in the source. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  /** Files do not keep the bits that let whoever runs them become their owner. */
  readonly dropsIdBits: boolean;
  /** Files take the place of those that are there. */
  readonly replace: boolean;
  /**
   * Extended attributes are kept that say who may do what, by ids that are the same on both sides, and what is mounted in
   * the source is left out.
   */
  readonly faithful: boolean;
  /** What everything is called until it is complete: see copy-name.ts. */
  readonly temporary: string;
  readonly meter: Meter;
}

/** Deeper than trees are; each level takes two descriptors. */
const deepest = 1024;

/** At most so many files with several names are remembered, so that a hostile tree does not fill the memory. */
const mostLinkedFiles = 65_536;

/** At most so many entries that were made in directories that were there are remembered, to be taken back. */
const mostTakenBack = 65_536;

/** So many files at most are counted before they are copied: a fraction of a second. */
const mostCounted = 100_000;

const chunk = 8 << 20; // a copy can only be killed or canceled between two of them
const bufferSize = 1 << 20;
const smallFile = 32 << 10; // for less, copy_file_range(2) is more work than it saves
const idBits = 0o6000;
const permissionBits = 0o777;
const allModeBits = 0o7777;

/**
 * Copies a file or a tree, by descriptors only: whoever else has a hand in either tree cannot lead it elsewhere.
 * Contents, modes, times, symbolic links, further names, holes, devices and attributes of users are kept.
 *
 * Directories are merged into ones that are there, and nothing is changed of these themselves. A file that is there is
 * left alone or, with `replace`, replaced in one step. What is new appears under its name when it is complete, and goes
 * again if something else fails.
 */
export class TreeCopy {
  readonly #options: TreeCopyOptions;
  /** Where a file with several names was first copied to, from the top of the new tree, by its identity. */
  readonly #linked = new Map<string, { readonly path: Buffer; readonly copy: string }>();
  /** The directory that is copied into, which may lie in the one that is copied. */
  #target: string | undefined;
  #buffer: Buffer | undefined;
  /** What was made in directories that were there. */
  readonly #made: MadeEntry[] = [];
  /** Whose new files are before they are given away. */
  readonly #maker: { readonly uid: number; readonly gid: number };
  /** File systems, by their device, whose files share no contents with those of the new tree. */
  readonly #cannotShare = new Set<number>();

  /** `owner`, if there is one, is whom this process makes files as. */
  constructor(options: TreeCopyOptions) {
    this.#options = options;
    this.#maker = options.owner ?? { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
  }

  /**
   * Throws SystemError or Node's errors: ENOENT, EEXIST (a file is there, or a directory where a file is to be, or a link
   * where the whole tree is to be), ENOTDIR (a file is there where a directory is to be; the rest of a tree is copied all
   * the same).
   */
  copy(from: Place, to: Place): void {
    using source = new Descriptor(openEntry(from.directory, from.name, O_PATH));
    const status = statusOf(source.fd);
    if (!status.isDirectory) {
      this.#options.meter.expect({ files: 1, bytes: status.size });
      this.#placeFile(source.fd, status, to, undefined);
      return;
    }
    // a look more into what others have a hand in is one more that may hang
    this.#options.meter.expect(this.#options.faithful ? this.#countTree(source.fd) : undefined);
    if (lookAt(to)?.isSymbolicLink === true) throw new SystemError(errnos.EEXIST, 'mkdirat', String(to.name));
    const conflict = this.#placeDirectory(source.fd, status, to, 0, undefined);
    if (conflict !== undefined) throw conflict;
  }

  /** What will be made, if nothing is there yet, by the names alone; undefined if they are too many. */
  #countTree(top: number): Amount | undefined {
    let files = 1;
    const isCounted = (directory: number, depth: number): boolean => {
      for (const entry of entriesIn(directory)) {
        if (files >= mostCounted || depth > deepest) return false;
        files++;
        this.#options.meter.count(0, 0);
        if (!entry.isDirectory()) continue;
        using child = openUnlessMounted(directory, nameOf(entry));
        if (child !== undefined && !isCounted(child.fd, depth + 1)) return false;
      }
      return true;
    };
    return isCounted(top, 0) ? { files, bytes: undefined } : undefined;
  }

  /** Into a directory that others see. Returns what stood in the way of a part of the tree. */
  #placeDirectory(source: number, status: EntryStatus, to: Place, depth: number, parent: TargetTree | undefined): Error | undefined {
    const existing = lookAt(to);
    if (existing === undefined) {
      this.#appear(to, false, (temporary) => this.#makeDirectory(source, status, temporary, depth, undefined));
      if (parent !== undefined) this.#noteMade(to, parent);
      return undefined;
    }
    if (!existing.isDirectory) throw new SystemError(errnos.ENOTDIR, 'openat', String(to.name));
    using target = new Descriptor(openEntry(to.directory, to.name, O_DIRECTORY));
    this.#target ??= statusOf(target.fd).identity;
    const tree = treeWith(parent, target.fd, to.name);
    try {
      return this.#merge(source, target.fd, depth, tree);
    } catch (error) {
      if (parent === undefined) this.#takeBack(tree);
      throw error;
    }
  }

  #noteMade({ directory, name }: Place, tree: TargetTree): void {
    if (this.#made.length >= mostTakenBack) return;
    using made = openUnlessGone(directory, name);
    if (made !== undefined) this.#made.push({ directory: tree.path, name, identity: statusOf(made.fd).identity });
  }

  /** Entries that are another's by now stay. */
  #takeBack({ top }: TargetTree): void {
    for (const { directory, name, identity } of this.#made.reverse()) {
      using parent = directory === undefined ? undefined : openUnlessGone(top, directory, locateBeneath);
      if (directory !== undefined && parent === undefined) continue;
      const place = { directory: parent?.fd ?? top, name };
      const status = lookAt(place);
      if (status !== undefined && status.identity === identity) this.#removeIfPossible(place);
    }
  }

  /** The entries that are there already stay, unless they are to be replaced. */
  #merge(source: number, target: number, depth: number, tree: TargetTree): Error | undefined {
    let conflict: Error | undefined;
    this.#eachEntry(source, depth, (entry, status, name) => {
      const to = { directory: target, name };
      try {
        if (status.isDirectory) conflict ??= this.#placeDirectory(entry, status, to, depth + 1, tree);
        else this.#placeFile(entry, status, to, tree);
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
        if (error.code === 'ENOTDIR') conflict ??= error;
        else if (error.code !== 'EEXIST') throw error;
      }
    });
    return conflict;
  }

  #placeFile(source: number, status: EntryStatus, to: Place, tree: TargetTree | undefined): void {
    const existing = lookAt(to);
    const isInTheWay = existing !== undefined && (!this.#options.replace || existing.isDirectory);
    if (isInTheWay) throw new SystemError(errnos.EEXIST, 'openat', String(to.name));
    this.#appear(to, this.#options.replace, (temporary) => this.#makeFile(source, status, temporary, tree));
    if (tree === undefined) return;
    if (existing === undefined) this.#noteMade(to, tree);
    this.#remember(status, to, tree);
  }

  /** Makes something under a name that nobody looks for, then gives it its own. */
  #appear(to: Place, replace: boolean, make: (temporary: Place) => void): void {
    const temporary = { directory: to.directory, name: Buffer.from(this.#options.temporary) };
    try {
      make(temporary);
      renameEntry(to.directory, temporary.name, to.name, replace);
    } catch (error) {
      this.#removeIfPossible(temporary);
      throw error;
    }
  }

  /** What has been made of a copy that failed; why it failed is more to the point than why this does. */
  #removeIfPossible(place: Place): void {
    try {
      removeTree(place, 0, this.#options.meter);
    } catch (error) {
      if (errnoNameOf(error) === undefined) throw error;
    }
  }

  #makeDirectory(source: number, status: EntryStatus, to: Place, depth: number, parent: TargetTree | undefined): void {
    makeDirectory(to.directory, to.name, 0o700);
    using made = new Descriptor(openUnmounted(to.directory, to.name, O_DIRECTORY));
    this.#target ??= statusOf(made.fd).identity;
    const tree = treeWith(parent, made.fd, to.name);
    this.#eachEntry(source, depth, (entry, entryStatus, name) => {
      const place = { directory: made.fd, name };
      if (entryStatus.isDirectory) this.#makeDirectory(entry, entryStatus, place, depth + 1, tree);
      else {
        this.#makeFile(entry, entryStatus, place, tree);
        this.#remember(entryStatus, place, tree);
      }
    });
    using readable = new Descriptor(reopen(source, constants.O_RDONLY | constants.O_DIRECTORY));
    this.#finish(readable.fd, status, made.fd, modeOf(status));
    this.#options.meter.count(1, 0);
  }

  /** What a file or directory has besides its contents. A change of owner drops bits of the mode, and some attributes. */
  #finish(source: number, status: EntryStatus, made: number, mode: number): void {
    const { uid, gid } = this.#ownerOf(status);
    const now = statusOf(made);
    const isOwned = now.uid === uid && now.gid === gid;
    if (!isOwned) fchownSync(made, uid, gid);
    if (!isOwned || (now.mode & allModeBits) !== mode) fchmodSync(made, mode);
    copyAttributes(source, made, this.#options.faithful ? 'all' : 'user');
    setOpenTimes(made, status.times);
  }

  #eachEntry(source: number, depth: number, visit: (entry: number, status: EntryStatus, name: Buffer) => void): void {
    if (depth > deepest) throw new SystemError(errnos.ENAMETOOLONG, 'openat');
    for (const name of namesIn(source)) {
      using entry = this.#options.faithful ? openUnlessMounted(source, name) : openUnlessGone(source, name);
      if (entry === undefined) continue;
      const status = statusOf(entry.fd);
      if (status.isDirectory && status.identity === this.#target) continue;
      this.#options.meter.count(0, 0); // what is there already takes its time, too
      visit(entry.fd, status, name);
    }
  }

  #makeFile(source: number, status: EntryStatus, to: Place, tree: TargetTree | undefined): void {
    if (tree !== undefined && this.#linkToCopy(status, to, tree)) return this.#options.meter.count(1, 0);
    if (status.isFile) this.#makeRegularFile(source, status, to);
    else this.#makeOther(source, status, to);
    this.#options.meter.count(1, 0);
  }

  #makeOther(source: number, status: EntryStatus, to: Place): void {
    const { uid, gid } = this.#ownerOf(status);
    if (status.isSymbolicLink) makeSymbolicLink(readSymbolicLink(source), to.directory, to.name);
    else makeNode(to.directory, to.name, status.mode, status.specialDevice);
    changeOwner(to.directory, to.name, uid, gid);
    setTimes(to.directory, to.name, status.times);
  }

  #makeRegularFile(source: number, status: EntryStatus, to: Place): void {
    using contents = new Descriptor(reopen(source, constants.O_RDONLY | constants.O_NONBLOCK));
    const mode = this.#options.dropsIdBits ? modeOf(status) & ~idBits : modeOf(status);
    const { uid, gid } = this.#ownerOf(status);
    // nobody may read it yet who may not in the end
    const firstMode = uid === this.#maker.uid && gid === this.#maker.gid ? mode & permissionBits : 0o600;
    using made = new Descriptor(openEntry(to.directory, to.name, O_WRONLY | O_CREAT | O_EXCL, firstMode));
    this.#copyContents(contents.fd, made.fd, status);
    this.#finish(contents.fd, status, made.fd, mode);
  }

  /** No more than the file had when this began; files of /proc and the like say that they have nothing. */
  #copyContents(from: number, to: number, status: EntryStatus): void {
    const size = status.size;
    if (size === 0) return this.#pump(from, to, 0, Infinity);
    if (this.#shareContents(from, to, status.device)) return this.#options.meter.count(0, size);
    if (status.allocated >= status.size) return this.#copyBytes(from, to, 0, size);
    ftruncateSync(to, size);
    let done = 0; // what lies in holes is done with what follows
    for (let start = nextData(from, 0); start !== undefined && start < size; ) {
      this.#options.meter.count(0, start - done);
      const end = Math.min(nextHole(from, start), size);
      this.#copyBytes(from, to, start, end);
      done = end;
      start = end < size ? nextData(from, end) : undefined;
    }
    this.#options.meter.count(0, size - done);
  }

  #shareContents(from: number, to: number, device: number): boolean {
    if (this.#cannotShare.has(device)) return false;
    const outcome = cloneContents(from, to);
    if (outcome === 'never') this.#cannotShare.add(device);
    return outcome === 'shared';
  }

  #copyBytes(from: number, to: number, start: number, end: number): void {
    if (end - start <= smallFile) return this.#pump(from, to, start, end);
    for (let offset = start; offset < end; ) {
      const count = copyRange(from, to, offset, Math.min(chunk, end - offset));
      if (count === undefined) return this.#pump(from, to, offset, end);
      if (count === 0) return; // it has become shorter
      offset += count;
      this.#options.meter.count(0, count);
    }
  }

  #pump(from: number, to: number, start: number, end: number): void {
    const buffer = (this.#buffer ??= Buffer.alloc(bufferSize));
    for (let offset = start; offset < end; ) {
      const count = readSync(from, buffer, 0, Math.min(buffer.length, end - offset), offset);
      if (count === 0) return;
      for (let written = 0; written < count; ) written += writeSync(to, buffer, written, count - written, offset + written);
      offset += count;
      this.#options.meter.count(0, count);
    }
  }

  /** Whether the file has been copied under another of its names, and the copy is still what it was. */
  #linkToCopy(status: EntryStatus, to: Place, { top }: TargetTree): boolean {
    const first = status.linkCount > 1 ? this.#linked.get(status.identity) : undefined;
    if (first === undefined) return false;
    using copy = openUnlessGone(top, first.path, locateBeneath);
    if (copy === undefined || statusOf(copy.fd).identity !== first.copy) return false;
    linkOpenFile(copy.fd, to.directory, to.name);
    return true;
  }

  #remember(status: EntryStatus, to: Place, tree: TargetTree): void {
    if (status.linkCount <= 1 || this.#linked.size >= mostLinkedFiles) return;
    using copy = new Descriptor(openEntry(to.directory, to.name, O_PATH));
    this.#linked.set(status.identity, { path: pathIn(tree, to.name), copy: statusOf(copy.fd).identity });
  }

  #ownerOf(status: EntryStatus): { uid: number; gid: number } {
    return this.#options.owner ?? status;
  }
}

/** Something new in a directory that was there. */
interface MadeEntry {
  /** Where it is, from the top of the tree that is copied into; undefined is the top. */
  readonly directory: Buffer | undefined;
  readonly name: Buffer;
  readonly identity: string;
}

/** A directory that is copied into: the top of its tree, and its path from there. */
interface TargetTree {
  readonly top: number;
  readonly path: Buffer | undefined;
}

function treeWith(parent: TargetTree | undefined, directory: number, name: Buffer): TargetTree {
  return parent === undefined ? { top: directory, path: undefined } : { top: parent.top, path: pathIn(parent, name) };
}

function pathIn({ path }: TargetTree, name: Buffer): Buffer {
  return path === undefined ? name : Buffer.concat([path, Buffer.from('/'), name]);
}

export class Descriptor implements Disposable {
  readonly fd: number;

  constructor(fd: number) {
    this.fd = fd;
  }

  [Symbol.dispose](): void {
    close(this.fd);
  }
}

function modeOf({ mode }: EntryStatus): number {
  return mode & allModeBits;
}

function lookAt({ directory, name }: Place): EntryStatus | undefined {
  using entry = openUnlessGone(directory, name);
  return entry === undefined ? undefined : statusOf(entry.fd);
}

function openUnlessGone(
  directory: number,
  name: Buffer,
  open: (directory: number, name: Buffer) => number = (parent, entry) => openEntry(parent, entry, O_PATH),
): Descriptor | undefined {
  try {
    return new Descriptor(open(directory, name));
  } catch (error) {
    if (errnoNameOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Undefined also for what somebody has mounted something on. */
function openUnlessMounted(directory: number, name: Buffer): Descriptor | undefined {
  try {
    return openUnlessGone(directory, name, (parent, entry) => openUnmounted(parent, entry, O_PATH));
  } catch (error) {
    if (errnoNameOf(error) === 'EXDEV') return undefined;
    throw error;
  }
}

export function* namesIn(directory: number): Generator<Buffer> {
  for (const entry of entriesIn(directory)) yield nameOf(entry);
}

/** One after the other: a directory may have more entries than fit the memory. */
function* entriesIn(directory: number): Generator<Dirent> {
  // Node types say that names are text, whatever the encoding.
  const listing = opendirSync(`/proc/self/fd/${directory}`, { encoding: 'buffer' as BufferEncoding, bufferSize: 256 });
  try {
    for (let entry = listing.readSync(); entry !== null; entry = listing.readSync()) yield entry;
  } finally {
    listing.closeSync();
  }
}

function nameOf(entry: Dirent): Buffer {
  return entry.name as unknown as Buffer;
}

/** Removes what a copy to a place has left under its temporary name, which may be anywhere in a directory that was there. */
export function removeLeftovers({ directory, name }: Place, temporary: Buffer): void {
  const meter = { keepAlive: () => undefined };
  removeTree({ directory, name: temporary }, 0, meter);
  if (lookAt({ directory, name })?.isDirectory !== true) return;
  using target = new Descriptor(openEntry(directory, name, O_DIRECTORY));
  removeBelow(target.fd, temporary, 0, meter);
}

function removeBelow(directory: number, temporary: Buffer, depth: number, meter: Pick<Meter, 'keepAlive'>): void {
  removeTree({ directory, name: temporary }, depth, meter);
  if (depth > deepest) return;
  for (const name of namesIn(directory)) {
    if (lookAt({ directory, name })?.isDirectory !== true) continue;
    using entry = new Descriptor(openEntry(directory, name, O_DIRECTORY));
    removeBelow(entry.fd, temporary, depth + 1, meter);
  }
}

/** Leaves alone what somebody has mounted there. */
function removeTree({ directory, name }: Place, depth: number, meter: Pick<Meter, 'keepAlive'>): void {
  const status = lookAt({ directory, name });
  if (status === undefined || depth > deepest + 1) return;
  if (status.isDirectory) {
    using own = new Descriptor(openUnmounted(directory, name, O_DIRECTORY));
    for (const entry of namesIn(own.fd)) removeTree({ directory: own.fd, name: entry }, depth + 1, meter);
  }
  removeEntry(directory, name, status.isDirectory);
  meter.keepAlive();
}
