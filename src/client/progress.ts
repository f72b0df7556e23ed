import { setTimeout as delay } from 'node:timers/promises';
import { ownOperationsVarlink } from '../contract/varlink/own-operations.js';
import type { Output } from '../wire/varlink/schema.js';
import type { Copy } from './backend.js';
import { isMachinedError } from './error.js';
import type { CallSettings, Progress } from './model.js';
import type { VarlinkClient } from './varlink.js';

/** How long a copy that is to be taken back may take to begin, in ms. */
const knownTimeLimit = 1000;

type Operation = NonNullable<Output<(typeof ownOperationsVarlink)['methods']['List']>['operation']>;

/** Follows the operation that a copy of this process is, and can take it back. Without our daemon it does neither. */
export class CopyFollower implements Disposable {
  readonly #own: VarlinkClient;
  readonly #copy: Copy;
  readonly #settings: CallSettings;
  readonly #onProgress: (progress: Progress) => void;
  readonly #end = new AbortController();
  /** The number of the operation, once it has begun; undefined if nobody tells. */
  readonly #known: Promise<number | undefined>;
  #setKnown: (id: number | undefined) => void = () => undefined;

  private constructor(own: VarlinkClient, copy: Copy, settings: CallSettings, onProgress: (progress: Progress) => void) {
    this.#own = own;
    this.#copy = copy;
    this.#settings = settings;
    this.#onProgress = onProgress;
    this.#known = new Promise((resolve) => (this.#setKnown = resolve));
  }

  /** Resolves when nothing of a copy that begins afterwards will be missed. */
  static async start(own: VarlinkClient, copy: Copy, settings: CallSettings, onProgress: (progress: Progress) => void): Promise<CopyFollower> {
    const follower = new CopyFollower(own, copy, settings, onProgress);
    await new Promise<void>((ready) => void follower.#follow(ready));
    return follower;
  }

  /**
   * Asks the daemon to stop the copy and take back what it has made. Nothing is reported: the copy may have ended by itself,
   * or the daemon may have no way to stop it.
   */
  async cancel(): Promise<void> {
    const id = await Promise.race([this.#known, delay(knownTimeLimit, undefined, { ref: false })]);
    if (id === undefined) return;
    const input = this.#settings.interactive === true ? { id, allowInteractiveAuthentication: true } : { id };
    try {
      await this.#own.call(ownOperationsVarlink, 'Cancel', input, { timeout: this.#settings.timeout });
    } catch (error) {
      if (!isMachinedError(error)) throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#end.abort();
  }

  async #follow(ready: () => void): Promise<void> {
    let id: number | undefined;
    try {
      for await (const { event, operation } of this.#own.callMany(ownOperationsVarlink, 'List', {}, { signal: this.#end.signal })) {
        if (event === 'ready') ready();
        // what was present before is another copy of the same
        if (event === 'added' && operation !== undefined && this.#isOurs(operation)) id ??= operation.id;
        if (operation === undefined || operation.id !== id) continue;
        this.#setKnown(id);
        this.#report(operation);
      }
    } catch (error) {
      // The copy itself says what is wrong; and there need not be anybody who tells of operations.
      if (!isMachinedError(error) && !this.#end.signal.aborted) throw error;
    } finally {
      ready();
      this.#setKnown(undefined);
    }
  }

  #isOurs({ kind, pid, machine, source, destination }: Operation): boolean {
    const copy = this.#copy;
    return (
      pid === process.pid && kind === `copy-${copy.direction}` && machine === copy.machine &&
      source === copy.source && destination === copy.destination
    );
  }

  #report({ bytesDone, bytesTotal, filesDone, filesTotal }: Operation): void {
    this.#onProgress({ bytesDone, bytesTotal, filesDone, filesTotal });
  }
}
