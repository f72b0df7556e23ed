/** In bytes, with the NUL at the end: path_resolution(7). */
const longestPath = 4096;
/** In bytes: what a file can be called. */
const longestPart = 255;

/** A path that starts at the root, and that a path name can be. */
export function isAbsolutePath(path: string): boolean {
  if (!path.startsWith('/') || path.includes('\0') || Buffer.byteLength(path) >= longestPath) return false;
  return path.split('/').every((part) => Buffer.byteLength(part) <= longestPart);
}

/** An absolute path that says where something is without '.', '..' and '//' in it. It may end in a slash. */
export function isNormalizedPath(path: string): boolean {
  return isAbsolutePath(path) && !path.includes('//') && !path.split('/').some((part) => part === '.' || part === '..');
}
