// Loads modules into the kernel that this runs on, on x86-64. Arguments: their files.
import { closeSync, openSync } from 'node:fs';
import { bind, check } from '../../../src/host/kernel/libc.js';

const finitModule = bind<(number: 313, fd: number, parameters: string, flags: number) => number>('long syscall(long, long, const char *, long)');

for (const file of process.argv.slice(2)) {
  const fd = openSync(file, 'r');
  check(finitModule(313, fd, '', 0), 'finit_module', file);
  closeSync(fd);
}
