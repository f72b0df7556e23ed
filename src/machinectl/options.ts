// The one table of options: how they are written, what they do, and what the help says of them.
import type { OptionSyntax } from './command-line.js';
import { CommandFailure, Finished } from './failure.js';
import { parseUnsigned } from './integer.js';
import type { Output } from './output.js';
import type { Settings, TableForm } from './settings.js';
import { parseSignal, signalTable } from './signals.js';
import { formatTable } from './table.js';

/** What completions offer for an option's argument; `nothing` to be offered is the default. */
export type ArgumentChoices = readonly string[] | 'host' | 'machine' | 'signal' | 'user';

export interface Option extends OptionSyntax {
  /** As the help writes the argument; also tells that there is one. */
  readonly argument?: string;
  /** Absent: works, but is not shown. */
  readonly summary?: string;
  readonly choices?: ArgumentChoices;
  /** May throw CommandFailure, or Finished after it has printed. */
  apply(settings: Settings, argument: string, output: Output): void;
}

export const journalFormats = [
  'short', 'short-full', 'short-iso', 'short-iso-precise', 'short-precise', 'short-monotonic', 'short-delta', 'short-unix',
  'verbose', 'export', 'json', 'json-pretty', 'json-sse', 'json-seq', 'cat', 'with-unit',
];
const verifications = ['no', 'checksum', 'signature'];
const compressions = ['uncompressed', 'xz', 'gzip', 'bzip2', 'zstd'];
const classes = ['container', 'vm'] as const;
const runners = ['nspawn', 'vmspawn'] as const;

export interface OptionEffects {
  help(): never;
  version(): never;
}

export function optionTable(effects: OptionEffects): readonly Option[] {
  return [
    flag('h', 'help', 'Show this help', () => effects.help()),
    flag(undefined, 'version', 'Show package version', () => effects.version()),
    option('H', 'host', '[USER@]HOST', 'Operate on remote host', (settings, host) => {
      settings.host = host;
      settings.machine = undefined;
    }, 'host'),
    option('M', 'machine', 'CONTAINER', 'Operate on local container', (settings, machine) => {
      settings.machine = machine;
      settings.host = undefined;
    }, 'machine'),
    flag(undefined, 'system', 'Connect to system machine manager', (settings) => (settings.scope = 'system')),
    flag(undefined, 'user', 'Connect to user machine manager', (settings) => (settings.scope = 'user')),
    flag(undefined, 'value', 'When showing properties, only print the value', (settings) => (settings.valueOnly = true)),
    option('p', 'property', 'NAME', 'Show only properties by this name', addProperty),
    option('P', undefined, 'NAME', 'Equivalent to --value --property=NAME', (settings, name) => {
      addProperty(settings, name);
      settings.valueOnly = true;
    }),
    flag('a', 'all', 'Show all properties, including empty ones', (settings) => (settings.all = true)),
    flag('l', 'full', 'Do not ellipsize output', (settings) => (settings.full = true)),
    option(undefined, 'kill-whom', 'WHOM', 'Whom to send signal to', setKillWhom, ['all', 'leader', 'supervisor']),
    hidden({ long: 'kill-who', sameAs: 'kill-whom', takesArgument: true, apply: setKillWhom }),
    option('s', 'signal', 'SIGNAL', 'Which signal to send', setSignal, 'signal'),
    option(undefined, 'uid', 'USER', 'Specify user ID to invoke shell as', (settings, user) => (settings.uid = user), 'user'),
    option('E', 'setenv', 'VAR[=VALUE]', 'Add an environment variable for shell', addVariable),
    flag(undefined, 'read-only', 'Create read-only bind mount or clone', (settings) => (settings.readOnly = true)),
    flag(undefined, 'mkdir', 'Create directory before bind mounting, if missing', (settings) => (settings.mkdir = true)),
    option('n', 'lines', 'INTEGER', 'Number of journal entries to show', (settings, text) => {
      const lines = parseUnsigned(text);
      if (lines === undefined) throw new CommandFailure(`Failed to parse lines '${text}'`);
      settings.lines = lines;
    }),
    option(undefined, 'max-addresses', 'INTEGER', 'Number of internet addresses to show at most', (settings, text) => {
      const count = text === 'all' ? 'all' : parseUnsigned(text);
      if (count === undefined) throw new CommandFailure(`Invalid number of addresses: ${text}`);
      settings.maximumAddresses = count;
    }),
    option('o', 'output', 'STRING', outputSummary, setJournalFormat, journalFormats),
    flag(undefined, 'force', 'Replace target file when copying, if necessary', (settings) => (settings.force = true)),
    flag(undefined, 'now', 'Start or power off container after enabling or disabling it', (settings) => (settings.now = true)),
    option(undefined, 'runner', 'RUNNER', 'Select between nspawn and vmspawn as the runner', (settings, text) => {
      const runner = runners.find((name) => name === text);
      if (runner === undefined) throw new CommandFailure(`Failed to parse --runner= setting: ${text}`);
      settings.runner = runner;
    }, runners),
    flag('V', undefined, 'Short for --runner=vmspawn', (settings) => (settings.runner = 'vmspawn')),
    option(undefined, 'class', 'CLASS', 'What kind of machine to register (container, vm)', (settings, text) => {
      const found = classes.find((name) => name === text);
      if (found === undefined) throw new CommandFailure(`Failed to parse --class= setting: ${text}`);
      settings.machineClass = found;
    }, classes),
    option(undefined, 'timeout', 'SECONDS', 'How long to wait at most', (settings, text) => {
      const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : undefined;
      if (seconds === undefined) throw new CommandFailure(`Failed to parse --timeout= setting: ${text}`);
      settings.timeout = seconds * 1000;
    }),
    hidden({ long: 'verify', takesArgument: true, choices: verifications, apply: setVerification }),
    hidden({ long: 'format', takesArgument: true, choices: compressions, apply: setFormat }),
    flag(undefined, 'no-pager', 'Do not start a pager', (settings) => (settings.pager = false)),
    flag(undefined, 'no-legend', 'Do not show headers and footers', (settings) => (settings.legend = false)),
    flag(undefined, 'no-ask-password', 'Do not prompt for password', (settings) => (settings.askPassword = false)),
    flag('q', 'quiet', 'Suppress output', (settings) => (settings.quiet = true)),
    option(undefined, 'json', 'MODE', 'Show output as JSON (short, pretty, off)', setJson, ['short', 'pretty', 'off']),
    flag('j', undefined, 'Same as --json=pretty on a terminal, --json=short elsewhere', (settings, _none, output) => {
      setJson(settings, output.onTerminal ? 'pretty' : 'short');
    }),
  ];
}

const outputSummary =
  'Change journal output mode (short, short-precise, short-iso, short-iso-precise, short-full, short-monotonic, ' +
  'short-unix, short-delta, json, json-pretty, json-sse, json-seq, cat, verbose, export, with-unit)';

function flag(
  short: string | undefined, long: string | undefined, summary: string,
  apply: (settings: Settings, argument: string, output: Output) => void,
): Option {
  return { ...spelling(short, long), takesArgument: false, summary, apply };
}

function option(
  short: string | undefined, long: string | undefined, argument: string, summary: string,
  apply: (settings: Settings, argument: string, output: Output) => void, choices?: ArgumentChoices,
): Option {
  return { ...spelling(short, long), takesArgument: true, argument, summary, apply, ...(choices === undefined ? {} : { choices }) };
}

function hidden(option: Option): Option {
  return option;
}

function spelling(short: string | undefined, long: string | undefined): { readonly short?: string; readonly long?: string } {
  return { ...(short === undefined ? {} : { short }), ...(long === undefined ? {} : { long }) };
}

function addProperty(settings: Settings, name: string): void {
  settings.properties.push(name);
}

function setKillWhom(settings: Settings, whom: string): void {
  settings.killWhom = whom;
}

function setSignal(settings: Settings, text: string, output: Output): void {
  if (text === 'help') {
    output.print(['0', ...signalTable().map(({ name }) => name.replace(/^SIG/, ''))].map((name) => `${name}\n`).join(''));
    throw new Finished();
  }
  if (text === 'list') {
    const rows = signalTable().map(({ number, name }) => [{ text: String(number) }, { text: name }]);
    output.print(formatTable([{ title: 'SIGNAL' }, { title: 'NAME' }], rows, { width: undefined, colours: output.colours, glyphs: output.glyphs, header: true }));
    throw new Finished();
  }
  settings.signal = parseSignal(text);
}

/** The value of this process's own variable, if none is given; nothing if there is none. */
function addVariable(settings: Settings, assignment: string): void {
  const [name = '', ...rest] = assignment.split('=');
  const control = Array.from(assignment).some((character) => (character < ' ' && character !== '\t' && character !== '\n') || character === '\x7f');
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) || control) {
    throw new CommandFailure(`Cannot assign environment variable ${assignment}: Invalid argument`);
  }
  const value = rest.length > 0 ? rest.join('=') : process.env[name];
  if (value === undefined) return;
  settings.environment = [...settings.environment.filter((other) => !other.startsWith(`${name}=`)), `${name}=${value}`];
}

const tableForms: Readonly<Record<string, TableForm>> = { json: 'short', 'json-pretty': 'pretty', 'json-sse': 'sse', 'json-seq': 'seq' };

function setJournalFormat(settings: Settings, text: string, output: Output): void {
  if (text === 'help') printChoices(journalFormats, output);
  if (!journalFormats.includes(text)) throw new CommandFailure(`Unknown output '${text}'.`);
  settings.journalFormat = text;
  settings.tableJson = tableForms[text] ?? 'off';
}

function setVerification(settings: Settings, text: string, output: Output): void {
  if (text === 'help') printChoices(verifications, output);
  if (!verifications.includes(text)) throw new CommandFailure(`Failed to parse --verify= setting: ${text}`);
  settings.verify = text;
}

function setFormat(settings: Settings, text: string): void {
  if (!compressions.includes(text)) throw new CommandFailure(`Unknown format: ${text}`);
  settings.format = text;
}

function setJson(settings: Settings, text: string): void {
  if (text !== 'off' && text !== 'short' && text !== 'pretty') {
    throw new CommandFailure(`Failed to parse --json= setting: ${text} (there are: short, pretty, off)`);
  }
  settings.json = text;
  settings.tableJson = text;
}

function printChoices(choices: readonly string[], output: Output): never {
  output.print(choices.map((choice) => `${choice}\n`).join(''));
  throw new Finished();
}
