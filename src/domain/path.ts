/** In bytes, with the NUL at the end: path_resolution(7). */
const longestPath = 4096;

/** An absolute path that says where something is without '.', '..' and '//' in it. It may end in a slash. */
export function isNormalizedPath(path: string): boolean {
  if (!path.startsWith('/') || path.includes('//') || path.includes('\0')) return false;
  return new TextEncoder().encode(path).length < longestPath && !path.split('/').some((part) => part === '.' || part === '..');
}
