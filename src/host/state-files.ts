import {
  chmodSync, closeSync, constants, fchmodSync, fstatSync, lstatSync, mkdirSync, openSync, readdirSync, readlinkSync, readSync,
  renameSync, symlinkSync, unlinkSync, writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { systemFailure } from '../domain/failure.js';
import type { Machine } from '../domain/machine.js';
import { isMachineName } from '../domain/name.js';
import type { LoadResult, Store, StoredMachine } from '../ports/store.js';
import { errnoNameOf, failureOf } from './kernel/system-error.js';
import { applySideFile, DamagedFileError, formatSideFile, formatStateFile, parseStateFile } from './state-file.js';

export interface StateDirectories {
  /** What others read: /run/systemd/machines. */
  readonly machines: string;
  /** What only this project reads: /run/machined. Damaged files are moved to `damaged` in it. */
  readonly own: string;
}

/** Far more than any machine needs, far less than would hurt. In bytes. */
const largestFile = 1 << 20;

/** How many damaged files of one name are kept; a further one takes the place of the last. */
const damagedFilesKept = 16;

/**
 * State files in directories of a RAM-backed file system: nothing is synced, as nothing outlives the boot anyway. The
 * directories are this process's own to write; what others may have put there is never followed out of them.
 */
export class StateFiles implements Store {
  readonly #machines: string;
  readonly #own: string;
  readonly #damaged: string;
  /** Machines that may have a side file. */
  readonly #withSideFile = new Set<string>();
  /** Machines of `intend`, whose state is under its temporary name, hidden from others. */
  readonly #intended = new Set<string>();

  /** Makes the directories that are missing. Throws Failure 'system'. */
  constructor(directories: StateDirectories) {
    this.#machines = directories.machines;
    this.#own = directories.own;
    this.#damaged = path.join(directories.own, 'damaged');
    makeDirectory(this.#machines);
    makeDirectory(this.#own);
    makeDirectory(this.#damaged);
  }

  save(stored: StoredMachine): void {
    const { machine } = stored;
    const text = textOf(stored);
    try {
      this.#saveSideFile(machine);
      writeWhole(this.#fileOf(machine.name), text);
      this.#intended.delete(machine.name); // it had the name that this has been written under
      if (hasLink(machine)) makeLink(this.#linkOf(machine), machine.name);
    } catch (error) {
      throw failureOf(error, `Cannot write the state file of machine ${machine.name}`);
    }
  }

  intend(machine: Machine): void {
    const text = textOf({ machine, job: '' });
    try {
      this.#intended.add(machine.name);
      writeFile(temporaryName(this.#fileOf(machine.name)), text);
    } catch (error) {
      throw failureOf(error, `Cannot write the state file of machine ${machine.name}`);
    }
  }

  remove(machine: Machine): void {
    try {
      if (this.#intended.delete(machine.name)) removeFile(temporaryName(this.#fileOf(machine.name)));
      // systemd-machined 257 and earlier link to machines in subgroups, too
      if (canHaveLink(machine.unit)) removeLink(this.#linkOf(machine), machine.name);
      removeFile(this.#fileOf(machine.name));
      if (this.#withSideFile.delete(machine.name)) removeFile(this.#sideFileOf(machine.name));
    } catch (error) {
      throw failureOf(error, `Cannot remove the state file of machine ${machine.name}`);
    }
  }

  /** Machines come in the order of their registration. Throws Failure 'system' if the directory cannot be read. */
  load(): LoadResult {
    const machines: StoredMachine[] = [];
    const damaged: { file: string; reason: string }[] = [];
    for (const name of regularFiles(this.#machines)) {
      const file = this.#fileOf(name);
      const machine = attempt(() => parseStateFile(name, readWhole(file)));
      if (machine instanceof Problem) damaged.push({ file, reason: this.#setAside(file, machine.reason) });
      else machines.push(machine);
    }
    machines.sort(byAge);
    const intended = this.#loadIntended(new Set(machines.map(({ machine }) => machine.name)));
    return { machines: this.#applySideFiles(machines, damaged), intended, damaged };
  }

  /** What an earlier daemon has written halfway, or only intended. Nobody else's files are touched. */
  #loadIntended(saved: ReadonlySet<string>): Machine[] {
    const intended: Machine[] = [];
    for (const name of regularFiles(this.#machines, temporaryPrefix)) {
      const file = temporaryName(this.#fileOf(name));
      const stored = attempt(() => parseStateFile(name, readWhole(file)));
      if (stored instanceof Problem) continue; // what is asked for later was not; the next save writes over it
      if (saved.has(name)) {
        removeFile(file);
        continue;
      }
      this.#intended.add(name);
      intended.push(stored.machine);
    }
    return intended;
  }

  /** By the link, which systemd-machined 257 and earlier make for every unit, and later ones as this project does. */
  hadWholeUnit(machine: Machine): boolean {
    return hasLink(machine) && linkTarget(this.#linkOf(machine)) === machine.name;
  }

  #applySideFiles(machines: readonly StoredMachine[], damaged: { file: string; reason: string }[]): StoredMachine[] {
    const byName = new Map(machines.map((stored) => [stored.machine.name, stored]));
    for (const name of regularFiles(this.#own)) {
      const file = this.#sideFileOf(name);
      const stored = byName.get(name);
      if (stored === undefined) {
        removeFile(file); // its machine has ended, or was taken over by another daemon
        continue;
      }
      const machine = attempt(() => applySideFile(stored.machine, readWhole(file)));
      if (machine instanceof Problem) {
        damaged.push({ file, reason: this.#setAside(file, machine.reason) });
        continue;
      }
      this.#withSideFile.add(name);
      byName.set(name, { ...stored, machine });
    }
    return [...byName.values()];
  }

  /** The reason, and what became of the file if it could not be moved. */
  #setAside(file: string, reason: string): string {
    try {
      renameSync(file, this.#freeDamagedName(path.basename(file)));
      return reason;
    } catch (error) {
      const code = errnoNameOf(error);
      if (code === undefined) throw error;
      return `${reason} (and it cannot be moved away: ${code})`;
    }
  }

  #freeDamagedName(name: string): string {
    for (let number = 1; ; number++) {
      const candidate = path.join(this.#damaged, `${name}.${number}`);
      if (number === damagedFilesKept || lstatSync(candidate, { throwIfNoEntry: false }) === undefined) return candidate;
    }
  }

  #saveSideFile(machine: Machine): void {
    const text = formatSideFile(machine);
    if (text !== undefined) {
      this.#withSideFile.add(machine.name);
      writeWhole(this.#sideFileOf(machine.name), text);
    } else if (this.#withSideFile.delete(machine.name)) {
      removeFile(this.#sideFileOf(machine.name));
    }
  }

  #fileOf(name: string): string {
    return `${this.#machines}/${checked(name)}`;
  }

  #sideFileOf(name: string): string {
    return `${this.#own}/${checked(name)}`;
  }

  #linkOf(machine: Machine): string {
    return `${this.#machines}/unit:${machine.unit}`;
  }
}

/** A name that got past the domain's checks could lead out of the directory. */
function checked(name: string): string {
  if (!isMachineName(name)) throw new Error(`'${name}' is no machine name`);
  return name;
}

/** libsystemd finds the machine of a unit by a link. A unit that holds more than the machine has none. */
function hasLink(machine: Machine): boolean {
  return machine.subgroup === '' && canHaveLink(machine.unit);
}

/** Units of other service managers than systemd may have names that no file can have. */
function canHaveLink(unit: string): boolean {
  return unit !== '' && !unit.includes('/') && Buffer.byteLength(unit) <= longestUnit;
}
const longestUnit = 255 - '.#unit:'.length;

function byAge(one: StoredMachine, other: StoredMachine): number {
  const difference = one.machine.timestamp.monotonic - other.machine.timestamp.monotonic;
  if (difference !== 0n) return difference < 0n ? -1 : 1;
  return one.machine.name < other.machine.name ? -1 : 1;
}

class Problem {
  constructor(readonly reason: string) {}
}

/** What `read` returns, or why the file could not be used. */
function attempt<T>(read: () => T): T | Problem {
  try {
    return read();
  } catch (error) {
    const code = errnoNameOf(error);
    if (code === undefined && !(error instanceof DamagedFileError)) throw error;
    return new Problem(code === undefined ? (error as DamagedFileError).message : `it cannot be read: ${code}`);
  }
}

/** Names of regular files that are machine names after the prefix. Whatever else is there belongs to somebody else. */
function regularFiles(directory: string, prefix = ''): string[] {
  try {
    const files = readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isFile() && entry.name.startsWith(prefix));
    return files.map(({ name }) => name.slice(prefix.length)).filter(isMachineName);
  } catch (error) {
    throw failureOf(error, `Cannot read ${directory}`);
  }
}

function makeDirectory(directory: string): void {
  try {
    if (mkdirSync(directory, { recursive: true }) !== undefined) chmodSync(directory, 0o755); // whatever the umask is
  } catch (error) {
    throw failureOf(error, `Cannot make ${directory}`);
  }
}

/** Most are read in one piece, into this. */
const piece = Buffer.alloc(4096);

/** Valid until the next call. Throws DamagedFileError if it is no regular file or too large, or Node's errors. */
function readWhole(file: string): Buffer {
  const fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const length = readSync(fd, piece, 0, piece.length, 0);
    if (length < piece.length) return piece.subarray(0, length);
    const status = fstatSync(fd);
    if (!status.isFile()) throw new DamagedFileError('it is not a regular file');
    if (status.size > largestFile) throw new DamagedFileError(`it has more than ${largestFile} bytes`);
    const bytes = Buffer.alloc(status.size);
    return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0));
  } finally {
    closeSync(fd);
  }
}

/** Throws Failure 'system' (EFBIG). */
function textOf(stored: StoredMachine): string {
  const text = formatStateFile(stored);
  if (Buffer.byteLength(text) <= largestFile) return text;
  throw systemFailure('EFBIG', `What is to be kept of machine ${stored.machine.name} is more than ${largestFile} bytes`);
}

/** Readers see the old text or the new one. */
function writeWhole(file: string, text: string): void {
  const temporary = temporaryName(file);
  writeFile(temporary, text);
  try {
    renameSync(temporary, file);
  } catch (error) {
    removeFile(temporary);
    throw error;
  }
}

/** What could only be written in part is removed. */
function writeFile(file: string, text: string): void {
  const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW } = constants;
  const fd = openSync(file, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o644);
  try {
    fchmodSync(fd, 0o644); // whatever the umask is
    writeFileSync(fd, text);
  } catch (error) {
    removeFile(file);
    throw error;
  } finally {
    closeSync(fd);
  }
}

/** Hidden from those who list the directory. Nobody else writes here, so that it need not be random. */
function temporaryName(file: string): string {
  const name = file.lastIndexOf('/') + 1;
  return `${file.slice(0, name)}${temporaryPrefix}${file.slice(name)}`;
}
const temporaryPrefix = '.#';

/** What is there under that name is replaced; most often nothing is. */
function makeLink(link: string, target: string): void {
  try {
    return symlinkSync(target, link);
  } catch (error) {
    if (errnoNameOf(error) !== 'EEXIST') throw error;
  }
  if (linkTarget(link) === target) return;
  const temporary = temporaryName(link);
  removeFile(temporary);
  symlinkSync(target, temporary);
  try {
    renameSync(temporary, link);
  } catch (error) {
    removeFile(temporary);
    throw error;
  }
}

/** A link that leads to another machine by now stays. */
function removeLink(link: string, target: string): void {
  if (linkTarget(link) === target) removeFile(link);
}

/** undefined if it is no link, or not there. */
function linkTarget(link: string): string | undefined {
  try {
    return readlinkSync(link);
  } catch (error) {
    const code = errnoNameOf(error);
    if (code === 'ENOENT' || code === 'EINVAL') return undefined;
    throw error;
  }
}

function removeFile(file: string): void {
  try {
    unlinkSync(file);
  } catch (error) {
    if (errnoNameOf(error) !== 'ENOENT') throw error;
  }
}
