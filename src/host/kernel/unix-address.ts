import { errnos, SystemError } from './system-error.js';

export const AF_UNIX = 1;

const longestPath = 107; // unix(7): sun_path has 108 bytes, and a path ends with a NUL

/**
 * A struct sockaddr_un for a path, or for '@name': a name in the abstract namespace. Throws SystemError for the system
 * call that it is meant for: EINVAL for an empty or impossible name, ENAMETOOLONG.
 */
export function encodeUnixAddress(name: string, syscall: string): Buffer {
  const abstract = name.startsWith('@');
  const text = Buffer.from(abstract ? name.slice(1) : name);
  if (text.length === 0 || (!abstract && text.includes(0))) throw new SystemError(errnos.EINVAL, syscall, name);
  if (text.length > longestPath) throw new SystemError(errnos.ENAMETOOLONG, syscall, name);
  const address = Buffer.alloc(2 + text.length + 1); // an abstract name begins with the NUL that a path ends with
  address.writeUInt16LE(AF_UNIX, 0);
  text.copy(address, abstract ? 3 : 2);
  return address;
}

/** The name in a struct sockaddr_un of so many bytes: a path, '@name', or '' for a socket that has none. */
export function decodeUnixAddress(address: Buffer, length: number): string {
  const text = address.subarray(2, length);
  if (text.length === 0) return '';
  if (text[0] === 0) return `@${text.toString('utf8', 1)}`;
  const end = text.indexOf(0);
  return text.toString('utf8', 0, end < 0 ? text.length : end);
}
