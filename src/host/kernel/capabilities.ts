// Capabilities of the calling thread: capabilities(7), capget(2).
import { bind, check, type Memory } from './libc.js';

const _LINUX_CAPABILITY_VERSION_3 = 0x20080522;
const CAP_SYS_RESOURCE = 24; // in the first of two words

const capget = bind<(header: Memory, sets: Memory) => number>('int capget(void *, void *)');
const capset = bind<(header: Memory, sets: Memory) => number>('int capset(void *, const void *)');

/** From now on, limits of disk space hold for this thread as for everybody. Throws SystemError. */
export function submitToDiskLimits(): void {
  const header = Buffer.alloc(8); // struct __user_cap_header_struct: version, thread
  header.writeUInt32LE(_LINUX_CAPABILITY_VERSION_3, 0);
  const sets = Buffer.alloc(24); // two of struct __user_cap_data_struct: effective, permitted, inheritable
  check(capget(header, sets), 'capget');
  sets.writeUInt32LE((sets.readUInt32LE(0) & ~(1 << CAP_SYS_RESOURCE)) >>> 0, 0);
  check(capset(header, sets), 'capset');
}
