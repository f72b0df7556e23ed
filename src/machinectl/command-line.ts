// Reads command lines as getopt_long(3) does: options may stand anywhere, long ones may be shortened, '--' ends them.
import { CommandFailure } from './failure.js';

export interface OptionSyntax {
  /** 'n' of '-n'. */
  readonly short?: string;
  /** 'lines' of '--lines'. */
  readonly long?: string;
  readonly takesArgument: boolean;
  /** The long option that this is another spelling of. */
  readonly sameAs?: string;
}

export interface ParsedOption<Option extends OptionSyntax> {
  readonly option: Option;
  /** undefined for options without one. */
  readonly argument: string | undefined;
}

export interface CommandLineEvents<Option extends OptionSyntax> {
  /** Called for every option in its turn, before what follows is looked at; may throw. */
  option(option: Option, argument: string | undefined): void;
  /** Whether all that follows these words are words, too: the command line of another program. */
  endsOptions(words: readonly string[]): boolean;
}

/** The words that are no options. Throws CommandFailure, worded as the C library does. */
export function readCommandLine<Option extends OptionSyntax>(
  program: string,
  options: readonly Option[],
  line: readonly string[],
  events: CommandLineEvents<Option>,
): readonly string[] {
  const words: string[] = [];
  for (let index = 0; index < line.length; index++) {
    const word = line[index] as string;
    if (word === '--') return [...words, ...line.slice(index + 1)];
    if (word === '-' || !word.startsWith('-')) {
      words.push(word);
      if (events.endsOptions(words)) return [...words, ...line.slice(index + 1)];
    } else {
      const next = line[index + 1];
      const usesNext = word.startsWith('--')
        ? readLong(program, options, word.slice(2), next, events)
        : readShort(program, options, word.slice(1), next, events);
      if (usesNext) index++;
    }
  }
  return words;
}

/** @returns whether the next word was the option's argument. */
function readLong<Option extends OptionSyntax>(
  program: string, options: readonly Option[], text: string, next: string | undefined, events: CommandLineEvents<Option>,
): boolean {
  const equals = text.indexOf('=');
  const name = equals < 0 ? text : text.slice(0, equals);
  const given = equals < 0 ? undefined : text.slice(equals + 1);
  const option = findLong(program, options, name);
  if (!option.takesArgument) {
    if (given !== undefined) throw new CommandFailure(`${program}: option '--${name}' doesn't allow an argument`);
    events.option(option, undefined);
    return false;
  }
  const argument = given ?? next;
  if (argument === undefined) throw new CommandFailure(`${program}: option '--${name}' requires an argument`);
  events.option(option, argument);
  return given === undefined;
}

function findLong<Option extends OptionSyntax>(program: string, options: readonly Option[], name: string): Option {
  const exact = options.find(({ long }) => long === name);
  if (exact !== undefined) return exact;
  const begun = options.filter(({ long }) => name !== '' && long?.startsWith(name) === true);
  const candidates = begun.filter(({ sameAs }) => !begun.some(({ long }) => sameAs !== undefined && long === sameAs));
  const [first] = candidates;
  if (first === undefined) throw new CommandFailure(`${program}: unrecognized option '--${name}'`);
  if (candidates.length === 1) return first;
  const possibilities = candidates.map(({ long }) => `--${long ?? ''}`).join(', ');
  throw new CommandFailure(`${program}: option '--${name}' is ambiguous; possibilities: ${possibilities}`);
}

/** One word may hold several: '-aln5'. @returns whether the next word was an argument. */
function readShort<Option extends OptionSyntax>(
  program: string, options: readonly Option[], letters: string, next: string | undefined, events: CommandLineEvents<Option>,
): boolean {
  for (let index = 0; index < letters.length; index++) {
    const letter = letters.charAt(index);
    const option = options.find(({ short }) => short === letter);
    if (option === undefined) throw new CommandFailure(`${program}: unrecognized option '-${letter}'`);
    if (!option.takesArgument) {
      events.option(option, undefined);
      continue;
    }
    const rest = letters.slice(index + 1);
    const argument = rest === '' ? next : rest;
    if (argument === undefined) throw new CommandFailure(`${program}: option '-${letter}' requires an argument`);
    events.option(option, argument);
    return rest === '';
  }
  return false;
}
