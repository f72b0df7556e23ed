// Directories of versions: systemd.v(7). "x.raw.v/" holds "x_VERSION[_ARCHITECTURE][+LEFT[-DONE]].raw".

/** A version, as the name of its file says. */
export interface VersionedEntry {
  readonly file: string;
  readonly version: string;
  readonly architecture: string | undefined;
  /** How often it may still be tried, and was; undefined: it is not counted (any more), it is known to work. */
  readonly triesLeft: number | undefined;
  readonly triesDone: number;
}

/** As systemd calls them: systemd.unit(5), ConditionArchitecture=. */
const architectures = new Set([
  'x86', 'x86-64', 'ppc', 'ppc-le', 'ppc64', 'ppc64-le', 'ia64', 'parisc', 'parisc64', 's390', 's390x', 'sparc', 'sparc64',
  'mips', 'mips-le', 'mips64', 'mips64-le', 'alpha', 'arm', 'arm-be', 'arm64', 'arm64-be', 'sh', 'sh64', 'm68k', 'tilegx',
  'cris', 'nios2', 'riscv32', 'riscv64', 'loongarch64', 'arc', 'arc-be',
]);

/** Undefined if `file` is no version of an image of that name. `ending` is '.raw' or the like, or ''. */
export function readVersionedEntry(file: string, name: string, ending: string): VersionedEntry | undefined {
  if (!file.startsWith(`${name}_`) || !file.endsWith(ending)) return undefined;
  const middle = file.slice(name.length + 1, file.length - ending.length);
  const [, stem = '', left, done] = /^([^+]*)(?:\+([0-9]+)(?:-([0-9]+))?)?$/.exec(middle) ?? [];
  const underscore = stem.lastIndexOf('_');
  const last = stem.slice(underscore + 1);
  const architecture = underscore >= 0 && architectures.has(last) ? last : undefined;
  const version = architecture === undefined ? stem : stem.slice(0, underscore);
  if (!/^[a-zA-Z0-9_.~^-]+$/.test(version)) return undefined;
  const triesLeft = left === undefined ? undefined : Number(left);
  const triesDone = Number(done ?? 0);
  if ((triesLeft ?? 0) > 0xffffffff || triesDone > 0xffffffff) return undefined;
  return { file, version, architecture, triesLeft, triesDone };
}

/**
 * The versions of an image, best first: those that have not failed for good, then the newest, then the one made for
 * this machine, then the one that was tried least. `runnable` are the architectures that this machine runs, best first;
 * those for others are left out.
 */
export function sortVersions(
  files: Iterable<string>,
  name: string,
  ending: string,
  runnable: readonly string[],
): readonly VersionedEntry[] {
  const found: VersionedEntry[] = [];
  for (const file of files) {
    const entry = readVersionedEntry(file, name, ending);
    if (entry === undefined) continue;
    if (entry.architecture === undefined || runnable.includes(entry.architecture)) found.push(entry);
  }
  const foreignness = ({ architecture }: VersionedEntry) =>
    architecture === undefined ? runnable.length : runnable.indexOf(architecture);
  return found.sort(
    (a, b) =>
      Number(a.triesLeft === 0) - Number(b.triesLeft === 0) ||
      compareVersions(b.version, a.version) ||
      foreignness(a) - foreignness(b) ||
      (b.triesLeft ?? Infinity) - (a.triesLeft ?? Infinity) ||
      a.triesDone - b.triesDone ||
      (a.file < b.file ? 1 : -1),
  );
}

/**
 * Negative if `left` is the older version, 0 if they are equal.
 * Source: UAPI.10 Version Format Specification, https://uapi-group.org/specifications/specs/version_format_specification/.
 */
export function compareVersions(left: string, right: string): number {
  let [a, b] = [left, right];
  for (;;) {
    a = a.replace(separators, '');
    b = b.replace(separators, '');
    if (a.startsWith('~') || b.startsWith('~')) {
      if (!(a.startsWith('~') && b.startsWith('~'))) return a.startsWith('~') ? -1 : 1;
      [a, b] = [a.slice(1), b.slice(1)];
      continue;
    }
    if (a === '' || b === '') return Number(a !== '') - Number(b !== '');
    const mark = ['-', '^', '.'].find((one) => a.startsWith(one) || b.startsWith(one));
    if (mark !== undefined) {
      if (!(a.startsWith(mark) && b.startsWith(mark))) return a.startsWith(mark) ? -1 : 1;
      [a, b] = [a.slice(1), b.slice(1)];
      continue;
    }
    const part = /^[0-9]/.test(a) || /^[0-9]/.test(b) ? digits : letters;
    const [first, second] = [part.exec(a)?.[0] ?? '', part.exec(b)?.[0] ?? ''];
    const order = part === digits ? compareNumbers(first, second) : compareText(first, second);
    if (order !== 0) return order;
    [a, b] = [a.slice(first.length), b.slice(second.length)];
  }
}

const separators = /^[^a-zA-Z0-9~^.-]+/;
const digits = /^[0-9]+/;
const letters = /^[a-zA-Z]+/;

/** Of any length; no number at all is less than 0. */
function compareNumbers(first: string, second: string): number {
  if (first === '' || second === '') return first.length - second.length;
  const [a, b] = [first.replace(/^0+/, ''), second.replace(/^0+/, '')];
  return a.length - b.length || compareText(a, b);
}

function compareText(first: string, second: string): number {
  if (first === second) return 0;
  return first < second ? -1 : 1;
}
