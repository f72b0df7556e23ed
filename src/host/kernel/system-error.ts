import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';
import { systemFailure, type Failure } from '../../domain/failure.js';

// errno(3) names that Node's own table lacks and that sockets, mounts and packages do answer with. These numbers are
// those of include/uapi/asm-generic/errno.h, which x86_64 and aarch64 share.
const namesNodeLacks: Readonly<Record<string, number>> = {
  ENONET: 64,
  ENOPKG: 65,
  EREMOTE: 66,
  ENOTUNIQ: 76,
  EBADFD: 77,
  EREMCHG: 78,
  EPFNOSUPPORT: 96,
  ESHUTDOWN: 108,
  ETOOMANYREFS: 109,
  EUCLEAN: 117,
  ENOMEDIUM: 123,
  ENOKEY: 126,
  EKEYREJECTED: 129,
  ERFKILL: 132,
};

const nameOfErrno = new Map<number, string>();
for (const [name, errno] of Object.entries({ ...namesNodeLacks, ...constants.errno })) nameOfErrno.set(errno, name);
// Two names for one number: Linux programs say the first.
nameOfErrno.set(constants.errno.EAGAIN, 'EAGAIN');
nameOfErrno.set(constants.errno.EOPNOTSUPP, 'EOPNOTSUPP');

const textOfErrno = getSystemErrorMap(); // libuv's, by negative errno

/** Numbers of the errno(3) names that code here compares with. */
export const errnos = { ...namesNodeLacks, ...constants.errno } as Readonly<Record<string, number>> & typeof constants.errno;

/**
 * A system call failed. `errno` is errno(3)'s positive number and `code` its name ('ENOENT'); a number that has no
 * name is 'E' and the number.
 */
export class SystemError extends Error {
  override readonly name = 'SystemError';
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;
  readonly path: string | undefined;

  constructor(errno: number, syscall: string, path?: string) {
    const code = nameOfErrno.get(errno) ?? `E${errno}`;
    const text = textOfErrno.get(-errno)?.[1];
    const where = path === undefined ? syscall : `${syscall} ${path}`;
    super(text === undefined ? `${where}: ${code}` : `${where}: ${text} (${code})`);
    this.code = code;
    this.errno = errno;
    this.syscall = syscall;
    this.path = path;
  }
}

/** What Node calls an errno that is not in its table. */
const unknownToNode = 'UNKNOWN';

/** The errno name of a failed call, whether this room or node:fs made it; undefined if `error` is something else. */
export function errnoNameOf(error: unknown): string | undefined {
  if (error instanceof SystemError) return error.code;
  if (!(error instanceof Error) || !('syscall' in error) || !('code' in error)) return undefined;
  const { code, errno } = error as NodeJS.ErrnoException;
  if (code === unknownToNode && errno !== undefined) return nameOfErrno.get(-errno) ?? code; // EDQUOT for one
  return typeof code === 'string' ? code : undefined;
}

/**
 * Turns a failed system call into what a caller of the service may be told: `attempt` ('Cannot open process 5') and the
 * reason. Anything else is a bug and is thrown on.
 */
export function failureOf(error: unknown, attempt: string): Failure {
  const code = errnoNameOf(error);
  if (code === undefined || !(error instanceof Error)) throw error;
  return systemFailure(code, `${attempt}: ${error.message}`, error);
}
