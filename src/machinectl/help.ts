import { styled } from './colours.js';
import { displayWidth, padTo } from './display-width.js';
import type { Option } from './options.js';
import type { Output } from './output.js';
import { defaultVerb, type Verb } from './verbs.js';

const groups: readonly { readonly group: Verb['group']; readonly title: string }[] = [
  { group: 'machine', title: 'Machine Commands:' },
  { group: 'image', title: 'Image Commands:' },
  { group: 'beyond', title: 'Commands that systemd’s machinectl does not have:' },
];

/** Columns of a paragraph, however wide the terminal is. */
const paragraphWidth = 80;
const introduction = 'Send control commands to or query the virtual machine and container registration manager.';

interface Entry {
  /** With its indentation. */
  readonly syntax: string;
  readonly summary: string;
}

interface Section {
  readonly title: string;
  readonly entries: readonly Entry[];
}

export function formatHelp(verbs: readonly Verb[], options: readonly Option[], output: Output): string {
  const commands = groups.map(({ group, title }) => ({ title, entries: verbs.filter((verb) => verb.group === group).flatMap(verbEntry) }));
  const sections: readonly Section[] = [...commands, { title: 'Options:', entries: options.flatMap(optionEntry) }].filter(({ entries }) => entries.length > 0);
  const width = syntaxWidth(sections, output.columns);
  const paragraph = wrap(introduction, Math.min(paragraphWidth, output.columns)).map((line) => `${styled(line, 'italic', output.colours)}\n`);
  const parts = sections.map(({ title, entries }) => {
    const lines = entries.flatMap((entry) => formatEntry(entry, width, output.columns));
    return `\n${styled(title, 'heading', output.colours)}\n${lines.map((line) => `${line}\n`).join('')}`;
  });
  const command = `${styled('>', 'grey', output.colours)} machinectl [OPTION…] COMMAND …`;
  return `${command}\n\n${paragraph.join('')}${parts.join('')}\nSee the machinectl(1) man page for details.\n`;
}

function verbEntry(verb: Verb): readonly Entry[] {
  if (verb.summary === undefined) return [];
  const name = verb.name === defaultVerb ? `[${verb.name}]` : verb.name;
  return [{ syntax: `  ${name}${verb.arguments === undefined ? '' : ` ${verb.arguments}`}`, summary: verb.summary }];
}

function optionEntry({ short, long, argument, summary }: Option): readonly Entry[] {
  if (summary === undefined) return [];
  const separator = long === undefined ? ' ' : '=';
  const spelling = [short === undefined ? '  ' : `-${short}`, ...(long === undefined ? [] : [`--${long}`])].join(' ');
  return [{ syntax: `  ${spelling}${argument === undefined ? '' : `${separator}${argument}`}`, summary }];
}

/** Terminals of so many columns have room for the longest syntax; on others that of verbs is broken. */
const wideTerminal = 100;
/** Columns that the syntax of a verb leaves free where it is broken. */
const margin = 3;

function syntaxWidth(sections: readonly Section[], columns: number): number {
  const counted = columns < wideTerminal ? sections.slice(-1) : sections;
  return Math.max(...counted.flatMap(({ entries }) => entries).map(({ syntax }) => displayWidth(syntax)));
}

function formatEntry({ syntax, summary }: Entry, width: number, columns: number): readonly string[] {
  const left = columns < wideTerminal ? breakSyntax(syntax, width) : [syntax];
  const right = wrap(summary, Math.max(columns - width - 1, 10));
  const height = Math.max(left.length, right.length);
  return Array.from({ length: height }, (_, line) => `${padTo(left[line] ?? '', width)} ${right[line] ?? ''}`);
}

/** What does not fit goes on in the next line, further in. */
function breakSyntax(syntax: string, width: number): readonly string[] {
  if (syntax.trimStart().startsWith('-') || displayWidth(syntax) <= width - margin) return [syntax];
  const [first = '', ...rest] = wrap(syntax.trimStart(), width - margin - 2);
  return [`  ${first}`, ...rest.map((line) => `    ${line}`)];
}

function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (line !== '' && displayWidth(longer) > width) {
      lines.push(line);
      line = word;
    } else {
      line = longer;
    }
  }
  return [...lines, line];
}
