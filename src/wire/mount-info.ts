/**
 * Where all of the cgroup v2 tree that this process's cgroup namespace shows is mounted, also beside cgroup v1
 * hierarchies. Format: proc_pid_mountinfo(5).
 */
export function cgroup2Root(text: string): string | undefined {
  for (const line of text.split('\n')) {
    const [mount = '', source = ''] = line.split(' - ');
    const [, , , root, mountPoint] = mount.split(' ');
    if (source.split(' ')[0] === 'cgroup2' && root === '/' && mountPoint !== undefined) return unescapeOctal(mountPoint);
  }
  return undefined;
}

/** mountinfo writes blanks and backslashes as \ooo. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
