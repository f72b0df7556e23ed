// What the completions of all shells offer, out of the tables of verbs and options.
import { optionTable, type ArgumentChoices, type Option } from '../options.js';
import { signalTable } from '../signals.js';
import { verbs, type Completion, type Verb } from '../verbs.js';

/** What is offered: names that are asked for when they are wanted, or words that are known beforehand. */
export type Offer = 'machine' | 'image' | 'settings-of' | 'host-path' | 'host' | 'user' | 'nothing' | readonly string[];

export interface VerbCompletion {
  readonly name: string;
  readonly summary: string;
  /** For each argument in turn; the last one goes for all that follow. */
  readonly offers: readonly Offer[];
  /** Behind this many arguments, another program's command line begins. */
  readonly argumentsBeforeCommand: number | undefined;
}

export interface OptionCompletion {
  readonly short: string | undefined;
  readonly long: string | undefined;
  readonly summary: string;
  /** Absent: it takes no argument. */
  readonly offer: Offer | undefined;
}

export interface Completions {
  readonly verbs: readonly VerbCompletion[];
  readonly options: readonly OptionCompletion[];
}

export function completions(): Completions {
  const options = optionTable({ help: notApplied, version: notApplied });
  return { verbs: verbs.map(completeVerb), options: options.map(completeOption) };
}

/** Verbs that take the same arguments, together: shells look them up by name. */
export function verbsByOffers(all: readonly VerbCompletion[]): readonly { readonly names: readonly string[]; readonly offers: readonly Offer[] }[] {
  const groups = new Map<string, { names: string[]; offers: readonly Offer[] }>();
  for (const { name, offers } of all) {
    const key = JSON.stringify(offers);
    const group = groups.get(key) ?? { names: [], offers };
    group.names.push(name);
    groups.set(key, group);
  }
  return [...groups.values()];
}

/** As they are written; hidden ones, too. */
export function optionsWithArgument(options: readonly OptionCompletion[]): readonly string[] {
  return options.filter(({ offer }) => offer !== undefined).flatMap(({ short, long }) => [
    ...(short === undefined ? [] : [`-${short}`]), ...(long === undefined ? [] : [`--${long}`]),
  ]);
}

function completeVerb({ name, summary = '', maximum, completes = ['nothing'], argumentsBeforeCommand }: Verb): VerbCompletion {
  const offers = completes.map(offerOf);
  const isFull = offers.length === maximum || maximum === 0;
  return { name, summary: summary === '' ? 'Handed on to importctl' : summary, offers: isFull ? [...offers, 'nothing'] : offers, argumentsBeforeCommand };
}

function offerOf(completion: Completion): Offer {
  return completion === 'boolean' ? ['yes', 'no'] : completion;
}

function completeOption({ short, long, takesArgument, summary = '', choices }: Option): OptionCompletion {
  return { short, long, summary, offer: takesArgument ? choicesOf(choices) : undefined };
}

function choicesOf(choices: ArgumentChoices | undefined): Offer {
  if (choices === undefined) return 'nothing';
  return choices === 'signal' ? namedSignals() : choices;
}

/** Real-time signals but the first have no names that anybody would look for. */
function namedSignals(): readonly string[] {
  return signalTable().map(({ name }) => name).filter((name) => /^SIG[A-Z]+\d?$|^SIGRTMIN\+0$/.test(name)).map((name) => name.replace('+0', ''));
}

function notApplied(): never {
  throw new Error('options are only listed here');
}
