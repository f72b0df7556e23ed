// The processes of a unit as a tree of cgroups, as systemctl status and machinectl status draw it.
import { styled, type ColourMode } from './colours.js';
import { ellipsize, printable } from './display-width.js';
import type { Glyphs } from './glyphs.js';

export interface UnitProcess {
  /** The path of its cgroup. */
  readonly cgroup: string;
  readonly pid: number;
  readonly commandLine: string;
}

interface Group {
  readonly name: string;
  readonly processes: UnitProcess[];
  readonly children: Map<string, Group>;
}

export interface TreeOptions {
  readonly prefix: string;
  /** Columns for what follows the prefix; undefined: as many as it takes. */
  readonly width: number | undefined;
  readonly colours: ColourMode;
  readonly glyphs: Glyphs;
}

const branchWidth = 2;
/** So many columns of a command line are shown however narrow the terminal is. */
const leastCommandLine = 20;

/** Lines of text, each with its newline. `root` is the cgroup whose content is shown; processes outside of it are not. */
export function formatCgroupTree(processes: readonly UnitProcess[], root: string, options: TreeOptions): string {
  const tree = { name: '', processes: [], children: new Map<string, Group>() };
  const base = root.replace(/\/$/, '');
  for (const process of processes) {
    if (process.cgroup !== base && !process.cgroup.startsWith(`${base}/`)) continue;
    place(tree, process.cgroup.slice(base.length).split('/').filter((part) => part !== ''), process);
  }
  return formatGroup(tree, '', options);
}

function place(group: Group, path: readonly string[], process: UnitProcess): void {
  const [first, ...rest] = path;
  if (first === undefined) {
    group.processes.push(process);
    return;
  }
  const child = group.children.get(first) ?? { name: first, processes: [], children: new Map<string, Group>() };
  group.children.set(first, child);
  place(child, rest, process);
}

function formatGroup(group: Group, indentation: string, options: TreeOptions): string {
  const { branch, lastBranch, trunk, ellipsis } = options.glyphs;
  const processes = [...group.processes].sort((one, other) => one.pid - other.pid);
  const children = [...group.children.values()].sort((one, other) => Buffer.compare(Buffer.from(one.name), Buffer.from(other.name)));
  const digits = Math.max(0, ...processes.map(({ pid }) => String(pid).length));
  let text = '';
  for (const [index, { pid, commandLine }] of processes.entries()) {
    const isLast = index === processes.length - 1 && children.length === 0;
    const taken = indentation.length + branchWidth + digits + 1;
    const room = options.width === undefined ? Number.POSITIVE_INFINITY : Math.max(options.width - taken, leastCommandLine);
    const shown = `${String(pid).padStart(digits)} ${ellipsize(printable(commandLine), room, ellipsis)}`;
    text += `${options.prefix}${indentation}${isLast ? lastBranch : branch}${styled(shown, 'grey', options.colours)}\n`;
  }
  for (const [index, child] of children.entries()) {
    const isLast = index === children.length - 1;
    text += `${options.prefix}${indentation}${isLast ? lastBranch : branch}${printable(unescape(child.name))}\n`;
    text += formatGroup(child, `${indentation}${isLast ? '  ' : trunk}`, options);
  }
  return text;
}

/** A '_' before a name that the kernel keeps for itself: https://systemd.io/CGROUP_DELEGATION. */
function unescape(name: string): string {
  return name.startsWith('_') ? name.slice(1) : name;
}
