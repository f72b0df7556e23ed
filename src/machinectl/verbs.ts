// The one table of verbs. Each is a file in verbs/, which is loaded when it is asked for; all that has to be known
// before that (help, the number of arguments, what completions offer) stands here.
import type { Context } from './context.js';

/**
 * What a completion offers for an argument: that is a list where there are no others. `settings-of`: what has settings, which is
 * a machine, an image, or a file of them.
 */
export type Completion = 'machine' | 'image' | 'settings-of' | 'host-path' | 'boolean' | 'nothing' | readonly string[];

/** Carries out the verb. @returns the exit status; nothing means 0. Throws CommandFailure. */
export type Run = (context: Context, words: readonly string[]) => Promise<number | void>;

export interface Verb {
  readonly name: string;
  /** Other names, which the help does not show. */
  readonly aliases?: readonly string[];
  readonly group: 'machine' | 'image' | 'beyond' | 'unlisted';
  /** As the help shows them: 'NAME…'. */
  readonly arguments?: string;
  /** Absent: works, but is not shown. */
  readonly summary?: string;
  /** Arguments that it takes. */
  readonly minimum: number;
  readonly maximum: number;
  /** For each argument in turn; the last one goes for all that follow. */
  readonly completes?: readonly Completion[];
  /** Behind this many arguments the command line of another program begins: what follows its name is its own, options or not. */
  readonly argumentsBeforeCommand?: number;
  load(): Promise<{ readonly run: Run }>;
}

const any = Number.POSITIVE_INFINITY;

/** Handed on to importctl, which checks what follows. */
const transferVerbs = [
  'import-tar', 'import-raw', 'import-fs', 'export-tar', 'export-raw', 'pull-tar', 'pull-raw', 'list-transfers', 'cancel-transfer',
];

function transferCompletions(name: string): readonly Completion[] {
  if (name.startsWith('import-')) return ['host-path', 'nothing'];
  return name.startsWith('export-') ? ['image', 'host-path', 'nothing'] : ['nothing'];
}

/** Carried out if no verb is given. */
export const defaultVerb = 'list';

export const verbs: readonly Verb[] = [
  { name: 'list', group: 'machine', summary: 'List running VMs and containers', minimum: 0, maximum: 0, load: () => import('./verbs/list.js') },
  {
    name: 'status', group: 'machine', arguments: 'NAME…', summary: 'Show VM/container details', minimum: 1, maximum: any,
    completes: ['machine'], load: () => import('./verbs/status.js'),
  },
  {
    name: 'show', group: 'machine', arguments: '[NAME…]', summary: 'Show properties of one or more VMs/containers', minimum: 0, maximum: any,
    completes: ['machine'], load: () => import('./verbs/show.js'),
  },
  {
    name: 'start', group: 'machine', arguments: 'NAME…', summary: 'Start container as a service', minimum: 1, maximum: any,
    completes: ['image'], load: () => import('./verbs/start.js'),
  },
  {
    name: 'login', group: 'machine', arguments: '[NAME]', summary: 'Get a login prompt in a container or on the local host', minimum: 0, maximum: 1,
    completes: ['machine'], load: () => import('./verbs/login.js'),
  },
  {
    name: 'shell', group: 'machine', arguments: '[[USER@]NAME [COMMAND…]]',
    summary: 'Invoke a shell (or other command) in a container or on the local host', minimum: 0, maximum: any,
    completes: ['machine', 'nothing'], argumentsBeforeCommand: 1, load: () => import('./verbs/shell.js'),
  },
  {
    name: 'enable', group: 'machine', arguments: 'NAME…', summary: 'Enable automatic container start at boot', minimum: 1, maximum: any,
    completes: ['image'], load: () => import('./verbs/enable.js'),
  },
  {
    name: 'disable', group: 'machine', arguments: 'NAME…', summary: 'Disable automatic container start at boot', minimum: 1, maximum: any,
    completes: ['image'], load: () => import('./verbs/disable.js'),
  },
  {
    name: 'poweroff', aliases: ['stop'], group: 'machine', arguments: 'NAME…', summary: 'Power off one or more machines', minimum: 1, maximum: any,
    completes: ['machine'], load: () => import('./verbs/poweroff.js'),
  },
  {
    name: 'reboot', aliases: ['restart'], group: 'machine', arguments: 'NAME…', summary: 'Reboot one or more machines', minimum: 1, maximum: any,
    completes: ['machine'], load: () => import('./verbs/reboot.js'),
  },
  {
    name: 'pause', group: 'machine', arguments: 'NAME…', summary: 'Pause one or more machines', minimum: 1, maximum: any,
    completes: ['machine'], load: () => import('./verbs/pause.js'),
  },
  {
    name: 'resume', group: 'machine', arguments: 'NAME…', summary: 'Resume one or more paused machines', minimum: 1, maximum: any,
    completes: ['machine'], load: () => import('./verbs/resume.js'),
  },
  {
    name: 'terminate', group: 'machine', arguments: 'NAME…', summary: 'Terminate one or more machines', minimum: 1, maximum: any,
    completes: ['machine'], load: () => import('./verbs/terminate.js'),
  },
  {
    name: 'kill', group: 'machine', arguments: 'NAME…', summary: 'Send signal to processes of a machine', minimum: 1, maximum: any,
    completes: ['machine'], load: () => import('./verbs/kill.js'),
  },
  {
    name: 'copy-to', group: 'machine', arguments: 'NAME PATH [PATH]', summary: 'Copy files from the host to a container', minimum: 2, maximum: 3,
    completes: ['machine', 'host-path', 'nothing'], load: () => import('./verbs/copy-to.js'),
  },
  {
    name: 'copy-from', group: 'machine', arguments: 'NAME PATH [PATH]', summary: 'Copy files from a container to the host', minimum: 2, maximum: 3,
    completes: ['machine', 'nothing', 'host-path'], load: () => import('./verbs/copy-from.js'),
  },
  {
    name: 'bind', group: 'machine', arguments: 'NAME PATH [PATH]', summary: 'Bind mount a path from the host into a container', minimum: 2, maximum: 3,
    completes: ['machine', 'host-path', 'nothing'], load: () => import('./verbs/bind.js'),
  },
  {
    name: 'list-images', group: 'image', summary: 'Show available container and VM images', minimum: 0, maximum: 0,
    load: () => import('./verbs/list-images.js'),
  },
  {
    name: 'image-status', group: 'image', arguments: '[NAME…]', summary: 'Show image details', minimum: 0, maximum: any,
    completes: ['image'], load: () => import('./verbs/image-status.js'),
  },
  {
    name: 'show-image', group: 'image', arguments: '[NAME…]', summary: 'Show properties of image', minimum: 0, maximum: any,
    completes: ['image'], load: () => import('./verbs/show-image.js'),
  },
  {
    name: 'edit', group: 'image', arguments: 'NAME|FILE…', summary: 'Edit settings of one or more VMs/containers', minimum: 1, maximum: any,
    completes: ['settings-of'], load: () => import('./verbs/edit.js'),
  },
  {
    name: 'cat', group: 'image', arguments: 'NAME|FILE…', summary: 'Show settings of one or more VMs/containers', minimum: 1, maximum: any,
    completes: ['settings-of'], load: () => import('./verbs/cat.js'),
  },
  {
    name: 'clone', group: 'image', arguments: 'NAME NAME', summary: 'Clone an image', minimum: 2, maximum: 2,
    completes: ['image', 'nothing'], load: () => import('./verbs/clone.js'),
  },
  {
    name: 'rename', group: 'image', arguments: 'NAME NAME', summary: 'Rename an image', minimum: 2, maximum: 2,
    completes: ['image', 'nothing'], load: () => import('./verbs/rename.js'),
  },
  {
    name: 'read-only', group: 'image', arguments: 'NAME [BOOL]', summary: 'Mark or unmark image read-only', minimum: 1, maximum: 2,
    completes: ['image', 'boolean'], load: () => import('./verbs/read-only.js'),
  },
  {
    name: 'remove', group: 'image', arguments: 'NAME…', summary: 'Remove an image', minimum: 1, maximum: any,
    completes: ['image'], load: () => import('./verbs/remove.js'),
  },
  {
    name: 'set-limit', group: 'image', arguments: '[NAME] BYTES', summary: 'Set image or pool size limit (disk quota)', minimum: 1, maximum: 2,
    completes: ['image', 'nothing'], load: () => import('./verbs/set-limit.js'),
  },
  {
    name: 'clean', group: 'image', summary: 'Remove hidden (or all) images', minimum: 0, maximum: 0, load: () => import('./verbs/clean.js'),
  },
  {
    name: 'bind-volume', group: 'image', arguments: 'MACHINE PROVIDER:VOLUME[:…]', summary: 'Attach a volume to a running machine',
    minimum: 2, maximum: 2, completes: ['machine', 'nothing'], load: () => import('./verbs/bind-volume.js'),
  },
  {
    name: 'unbind-volume', group: 'image', arguments: 'MACHINE PROVIDER:VOLUME', summary: 'Detach a volume from a running machine',
    minimum: 2, maximum: 2, completes: ['machine', 'nothing'], load: () => import('./verbs/unbind-volume.js'),
  },
  ...transferVerbs.map((name): Verb => ({
    name, group: 'unlisted', minimum: 0, maximum: any, completes: transferCompletions(name), load: () => import('./verbs/transfer.js'),
  })),
  { name: 'help', group: 'unlisted', summary: 'Show the help', minimum: 0, maximum: any, load: () => import('./verbs/help.js') },
  { name: 'watch', group: 'beyond', summary: 'Show running VMs and containers as they come and go', minimum: 0, maximum: 0, load: () => import('./verbs/watch.js') },
  { name: 'top', group: 'beyond', summary: 'Show what machines use, the busiest first', minimum: 0, maximum: 0, load: () => import('./verbs/top.js') },
  { name: 'events', group: 'beyond', summary: 'Print a line for each machine that comes or goes', minimum: 0, maximum: 0, load: () => import('./verbs/events.js') },
  {
    name: 'wait', group: 'beyond', arguments: 'NAME [running|gone|answering]', summary: 'Wait until a machine runs, is gone, or starts commands',
    minimum: 1, maximum: 2, completes: ['machine', ['running', 'gone', 'answering']], load: () => import('./verbs/wait.js'),
  },
  {
    name: 'register', group: 'beyond', arguments: 'NAME PID', summary: 'Register a process, and what is in its unit, as a machine',
    minimum: 2, maximum: 2, completes: ['nothing'], load: () => import('./verbs/register.js'),
  },
  {
    name: 'unregister', group: 'beyond', arguments: 'NAME…', summary: 'Forget machines, which go on to run', minimum: 1, maximum: any,
    completes: ['machine'], load: () => import('./verbs/unregister.js'),
  },
  {
    name: 'exec', group: 'beyond', arguments: '[USER@]NAME COMMAND…', summary: 'Run a command without a terminal, and return its exit status',
    minimum: 2, maximum: any, completes: ['machine', 'nothing'], argumentsBeforeCommand: 1, load: () => import('./verbs/exec.js'),
  },
  {
    name: 'unbind', group: 'beyond', arguments: 'NAME PATH', summary: 'Take away a bind mount that bind has made', minimum: 2, maximum: 2,
    completes: ['machine', 'nothing'], load: () => import('./verbs/unbind.js'),
  },
];

export function findVerb(name: string): Verb | undefined {
  return verbs.find((verb) => verb.name === name || verb.aliases?.includes(name) === true);
}

/** Whether all that follows these words is for the program whose name is the last of them. */
export function endOptions([name = '', ...rest]: readonly string[]): boolean {
  return rest.length > (findVerb(name)?.argumentsBeforeCommand ?? any);
}

/** More mistakes than this are no misspelling. */
const mostMistakes = 5;

/** The verb that was probably meant. */
export function similarVerb(name: string): string | undefined {
  const names = verbs.flatMap((verb) => [verb.name, ...(verb.aliases ?? [])]);
  const [begun] = names.filter((candidate) => candidate.startsWith(name)).sort((one, other) => one.length - other.length);
  if (begun !== undefined) return begun;
  const distances = names.map((candidate) => ({ candidate, distance: editDistance(name, candidate) }));
  const [closest] = distances.sort((one, other) => one.distance - other.distance);
  return closest !== undefined && closest.distance <= mostMistakes ? closest.candidate : undefined;
}

/** Insertions, deletions and replacements that make one text of the other (Levenshtein's distance). */
function editDistance(one: string, other: string): number {
  let previous = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let row = 1; row <= one.length; row++) {
    const current = [row];
    for (let column = 1; column <= other.length; column++) {
      const replaced = (previous[column - 1] ?? 0) + (one[row - 1] === other[column - 1] ? 0 : 1);
      current.push(Math.min(replaced, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[other.length] ?? 0;
}
