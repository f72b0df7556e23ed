// Which other program the kernel takes to run one: execve(2), elf(5).
import { isUtf8 } from 'node:buffer';
import { readSync } from 'node:fs';
import { closeLocated, openLocated } from '../kernel/guest-root.js';
import { errnoNameOf } from '../kernel/system-error.js';

/** Of a script, the kernel reads no more: BINPRM_BUF_SIZE. */
const firstBytes = 256;

const elfMagic = Buffer.from('\x7fELF', 'latin1');
const ELFCLASS64 = 2;
const ELFDATA2LSB = 1;
const PT_INTERP = 3;
const longestTable = 65_536;
const longestPath = 4096;

/** e_machine of the programs that a processor runs, with 64 and with 32 bits. Others are run by what binfmt_misc names. */
const machines: Partial<Record<NodeJS.Architecture, readonly number[]>> = { x64: [62, 3], arm64: [183, 40], riscv64: [243] };

/**
 * The path that a script names in its first line, or a program for this processor as its loader; undefined if there is
 * none, or it cannot be told. `located` is a regular file that locateInRoot found; reading it may wait for ever: only a helper process
 * may call this. Throws Node's errors.
 */
export function interpreterOf(located: number): string | undefined {
  const fd = openIfReadable(located);
  if (fd === undefined) return undefined;
  try {
    const head = readAt(fd, 0, firstBytes);
    return head.subarray(0, 2).equals(Buffer.from('#!')) ? interpreterOfScript(head) : loaderOf(fd, head);
  } finally {
    closeLocated(fd);
  }
}

/** Who may run a program may not always read it. */
function openIfReadable(located: number): number | undefined {
  try {
    return openLocated(located);
  } catch (error) {
    if (errnoNameOf(error) === 'EACCES') return undefined;
    throw error;
  }
}

function interpreterOfScript(head: Buffer): string | undefined {
  const line = head.toString('latin1') + (head.length < firstBytes ? '\n' : '');
  const path = /^#![ \t]*([^ \t\n\0]+)[ \t\n\0]/.exec(line)?.[1]; // one that is cut off is none
  return path === undefined ? undefined : textOf(Buffer.from(path, 'latin1'));
}

function loaderOf(fd: number, head: Buffer): string | undefined {
  if (head.length < 64 || !head.subarray(0, 4).equals(elfMagic) || head[5] !== ELFDATA2LSB) return undefined;
  if (machines[process.arch]?.includes(head.readUInt16LE(18)) !== true) return undefined;
  const is64 = head[4] === ELFCLASS64;
  const [offset, entrySize, count] = is64
    ? [Number(head.readBigUInt64LE(32)), head.readUInt16LE(54), head.readUInt16LE(56)]
    : [head.readUInt32LE(28), head.readUInt16LE(42), head.readUInt16LE(44)];
  if (entrySize !== (is64 ? 56 : 32) || !Number.isSafeInteger(offset)) return undefined;
  const table = readAt(fd, offset, Math.min(entrySize * count, longestTable));
  for (let at = 0; at + entrySize <= table.length; at += entrySize) {
    if (table.readUInt32LE(at) !== PT_INTERP) continue;
    const [start, size] = is64
      ? [Number(table.readBigUInt64LE(at + 8)), Number(table.readBigUInt64LE(at + 32))]
      : [table.readUInt32LE(at + 4), table.readUInt32LE(at + 16)];
    return Number.isSafeInteger(start) && size <= longestPath ? textAt(fd, start, size) : undefined;
  }
  return undefined;
}

function textAt(fd: number, offset: number, size: number): string | undefined {
  const bytes = readAt(fd, offset, size);
  return textOf(bytes.subarray(0, bytes.includes(0) ? bytes.indexOf(0) : bytes.length));
}

/** undefined where a path is no text. */
function textOf(bytes: Buffer): string | undefined {
  return isUtf8(bytes) ? bytes.toString('utf8') : undefined;
}

/** As many bytes as there are. */
function readAt(fd: number, offset: number, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  let length = 0;
  while (length < size) {
    const count = readSync(fd, bytes, length, size - length, offset + length);
    if (count === 0) break;
    length += count;
  }
  return bytes.subarray(0, length);
}
