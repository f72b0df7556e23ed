import { getSystemErrorMap } from 'node:util';

/** Where the C library puts it otherwise than Node. */
const otherwise: Readonly<Record<string, string>> = {
  EADDRNOTAVAIL: 'Cannot assign requested address',
  EBUSY: 'Device or resource busy',
  EEXIST: 'File exists',
  EIO: 'Input/output error',
  EISDIR: 'Is a directory',
  ELOOP: 'Too many levels of symbolic links',
  ENAMETOOLONG: 'File name too long',
  ENOTSUP: 'Operation not supported',
  ERANGE: 'Numerical result out of range',
  EXDEV: 'Invalid cross-device link',
};

/** What C programs say of an errno: 'No such file or directory' for 'ENOENT'. */
export function errnoText(name: string): string {
  const text = otherwise[name];
  if (text !== undefined) return text;
  for (const [code, lowerCase] of getSystemErrorMap().values()) {
    if (code === name) return lowerCase.charAt(0).toUpperCase() + lowerCase.slice(1);
  }
  return name;
}

/** 'ENOENT', of what a call of the operating system was refused with. Anything else is thrown on. */
export function errorCode(error: unknown): string {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  throw error;
}
