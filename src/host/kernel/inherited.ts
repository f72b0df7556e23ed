// What a thread hands down to the programs that it starts, beside what posix_spawn(3) can say: personality(2), keyctl(2).
import { bind, check, errno } from './libc.js';
import { errnos, SystemError } from './system-error.js';

const keyctlNumbers: Partial<Record<NodeJS.Architecture, number>> = { x64: 250, arm64: 219, riscv64: 219 };
const keyctlNumber = keyctlNumbers[process.arch] ?? 0; // no call has number 0 with such arguments: it fails
const KEYCTL_JOIN_SESSION_KEYRING = 1;

const setPersonality = bind<(persona: number) => number>('int personality(unsigned long)');
const keyControl = bind<(number: number, command: number, name: null) => number>('long syscall(long, long, const void *)');

/** Runs `work`, which has to be synchronous, with another execution domain. Throws SystemError. */
export function withPersonality<T>(domain: number, work: () => T extends PromiseLike<unknown> ? never : T): T {
  const own = check(setPersonality(domain), 'personality');
  try {
    return work();
  } finally {
    check(setPersonality(own), 'personality');
  }
}

/** A session keyring for what is started from now on, which nothing else has: keyrings(7). Throws SystemError: EDQUOT. */
export function joinNewKeyring(): void {
  if (keyControl(keyctlNumber, KEYCTL_JOIN_SESSION_KEYRING, null) >= 0) return;
  const reason = errno();
  if (reason !== errnos.ENOSYS && reason !== errnos.EPERM) throw new SystemError(reason, 'keyctl'); // no keyrings, or a filter against them
}
