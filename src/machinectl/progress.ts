// How far a copy or a change of an image has come, in the last line of the terminal while it is under way.
import { isatty } from 'node:tty';
import type { ownOperationsVarlink } from '../contract/varlink/own-operations.js';
import type { Output as OutputOf } from '../wire/varlink/schema.js';
import { formatBytes } from './bytes.js';
import { isDumb, styled, type ColourMode } from './colours.js';
import type { Context } from './context.js';
import { ownSocket } from './own-socket.js';

type Operation = NonNullable<OutputOf<(typeof ownOperationsVarlink)['methods']['List']>['operation']>;
export type OperationKind = Operation['kind'];
export type Progress = Pick<Operation, 'bytesDone' | 'bytesTotal' | 'filesDone' | 'filesTotal'>;

/** The operation that a verb has begun; no subject: it is about no machine or image in particular. */
export interface Expected {
  readonly kind: OperationKind;
  /** The machine or the image. */
  readonly subject?: string;
}

/** Milliseconds: what takes less is not worth a line, and nobody reads faster than that. */
const interval = 200;

/** Milliseconds that the daemon has for taking back what was interrupted. */
const cancelTimeLimit = 5000;

/**
 * Carries out `work`, and shows how far it has come if standard error is a terminal and the daemon of this project tells: the
 * original does not. Whatever becomes of that, the work is neither held up nor failed. Ctrl-C takes back what is shown, where
 * there is a way back.
 */
export async function withProgress<T>(context: Context, expected: Expected, work: () => Promise<T>): Promise<T> {
  if (!isWanted(context)) return work();
  using line = new ProgressLine(context, expected);
  try {
    return await work();
  } catch (error) {
    await line.interruption; // of which this may be no more than the echo
    throw error;
  }
}

function isWanted({ registry, settings }: Context): boolean {
  return isatty(2) && !isDumb(process.env) && !settings.quiet && registry.target.transport === 'local';
}

class ProgressLine implements Disposable {
  readonly #context: Context;
  readonly #end = new AbortController();
  readonly #timer: NodeJS.Timeout;
  /** Ends this process, when the work is canceled; undefined if nobody has interrupted it. */
  interruption: Promise<void> | undefined;
  readonly #onInterrupt = (): void => void (this.interruption = this.#interrupt());
  #operation: Operation | undefined;
  #isShown = false;

  constructor(context: Context, expected: Expected) {
    this.#context = context;
    this.#timer = setInterval(() => this.#draw(), interval);
    process.once('SIGINT', this.#onInterrupt);
    void this.#follow(expected);
  }

  /** The terminal is left as if nothing had been shown. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    process.off('SIGINT', this.#onInterrupt);
    this.#end.abort();
    if (this.#isShown) this.#context.output.overwriteLine('');
  }

  /** What is present before is ours, too: this process has no other operation at a time. */
  async #follow({ kind, subject }: Expected): Promise<void> {
    const [{ VarlinkClient }, { isMachinedError }, { ownOperationsVarlink }] = await loadClient();
    using client = new VarlinkClient(ownSocket(this.#context));
    const { signal } = this.#end;
    try {
      for await (const { operation } of client.callMany(ownOperationsVarlink, 'List', {}, { signal })) {
        const isOurs = operation?.pid === process.pid && operation.kind === kind && (operation.machine ?? operation.image) === subject;
        if (isOurs) this.#operation = operation;
      }
    } catch (error) {
      // There need not be anybody who tells of operations.
      if (!isMachinedError(error) && !signal.aborted) throw error;
    }
  }

  /** A second Ctrl-C ends this process without further ado. */
  async #interrupt(): Promise<void> {
    if (this.#operation !== undefined) await this.#cancel(this.#operation.id);
    this[Symbol.dispose]();
    process.kill(process.pid, 'SIGINT');
  }

  async #cancel(id: number): Promise<void> {
    const [{ VarlinkClient }, { isMachinedError }, { ownOperationsVarlink }] = await loadClient();
    using client = new VarlinkClient(ownSocket(this.#context));
    try {
      await client.call(ownOperationsVarlink, 'Cancel', { id }, { timeout: cancelTimeLimit });
    } catch (error) {
      // It may be over, or have no way back: removing has none.
      if (!isMachinedError(error)) throw error;
    }
  }

  #draw(): void {
    if (this.#operation === undefined) return;
    const { output } = this.#context;
    const columns = process.stderr.columns > 0 ? process.stderr.columns : output.columns;
    const text = formatProgress(this.#operation, columns - 1, output.colours);
    if (text === '') return;
    this.#isShown = true;
    output.overwriteLine(text);
  }
}

/** Most command lines need none of it. */
function loadClient() {
  return Promise.all([import('../client/varlink.js'), import('../client/error.js'), import('../contract/varlink/own-operations.js')]);
}

/** The bar takes no more than that, and as much as is left by the text. */
const widestBar = 40;
const narrowestBar = 5;

/** '[#####-----]  50% 1.5G of 3G', in so many columns; without a bar if it is not known what there is; '' if nothing is known. */
export function formatProgress(progress: Progress, columns: number, colours: ColourMode): string {
  const amount = formatAmount(progress);
  const share = shareDone(progress);
  if (share === undefined) return amount.slice(0, Math.max(columns, 0));
  const text = ` ${String(Math.floor(share * 100)).padStart(3)}%${amount === '' ? '' : ` ${amount}`}`;
  const width = Math.min(widestBar, columns - text.length - '[]'.length);
  if (width < narrowestBar) return text.trimStart().slice(0, Math.max(columns, 0));
  const filled = Math.floor(share * width);
  return `[${styled('#'.repeat(filled), 'green', colours)}${'-'.repeat(width - filled)}]${text}`;
}

/** Bytes that could be copied in the time that it takes to make a file, about. */
const costOfFile = 8192;

/** 0 to 1; never less than it was before, as long as the totals stay. */
function shareDone({ bytesDone = 0, bytesTotal = 0, filesDone = 0, filesTotal = 0 }: Progress): number | undefined {
  const total = bytesTotal + filesTotal * costOfFile;
  if (total === 0) return undefined;
  const done = (bytesTotal === 0 ? 0 : bytesDone) + (filesTotal === 0 ? 0 : filesDone) * costOfFile;
  return Math.min(done / total, 1);
}

function formatAmount({ bytesDone, bytesTotal, filesDone, filesTotal }: Progress): string {
  const amounts: string[] = [];
  if (bytesDone !== undefined) amounts.push(ofTotal(bytesText(bytesDone), bytesTotal === undefined ? undefined : bytesText(bytesTotal)));
  if (filesDone !== undefined) {
    const noun = (filesTotal ?? filesDone) === 1 ? 'file' : 'files';
    amounts.push(`${ofTotal(String(filesDone), filesTotal === undefined ? undefined : String(filesTotal))} ${noun}`);
  }
  return amounts.join(', ');
}

function bytesText(bytes: number): string | undefined {
  return formatBytes(BigInt(bytes));
}

function ofTotal(done = '', total: string | undefined): string {
  return total === undefined ? done : `${done} of ${total}`;
}
