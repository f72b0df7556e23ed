import { fileURLToPath } from 'node:url';
import { isFailure, systemFailure } from '../../domain/failure.js';
import type { ProcessIdentity } from '../../domain/machine.js';
import type { Guests, NetworkAddress } from '../../ports/guests.js';
import type { Log } from '../../ports/log.js';
import { readAddresses } from './addresses.js';
import { HelperPool, ordinaryLimits, type HelperLimits } from './helper-pool.js';
import { requestFor, type OsReleaseAnswer } from './protocol.js';

/** The helper's program lies beside this module, whether that is bundled or not. */
const helperProgram = fileURLToPath(new URL('./guest-helper.js', import.meta.url));

/**
 * Looks into guests by their /proc directories. Addresses are a matter between us and the kernel, and asked for right
 * here; files are read by helper processes, as a guest can hold up whoever walks its paths.
 */
export class KernelGuests implements Guests, Disposable {
  readonly #log: Log;
  readonly #helpers: HelperPool;
  /** What is being asked, so that no guest keeps more than one helper waiting at a time. */
  readonly #asking = new Map<string, Promise<ReadonlyMap<string, string> | undefined>>();

  constructor(log: Log, limits: HelperLimits = ordinaryLimits) {
    this.#log = log;
    this.#helpers = new HelperPool(helperProgram, limits);
  }

  [Symbol.dispose](): void {
    this.#helpers[Symbol.dispose]();
  }

  async addresses(leader: ProcessIdentity): Promise<readonly NetworkAddress[] | undefined> {
    return readAddresses(leader);
  }

  osRelease(leader: ProcessIdentity): Promise<ReadonlyMap<string, string> | undefined> {
    const request = JSON.stringify(requestFor(leader));
    const asked = this.#asking.get(request);
    if (asked !== undefined) return asked;
    const answer = this.#askOsRelease(leader, request).finally(() => this.#asking.delete(request));
    this.#asking.set(request, answer);
    return answer;
  }

  async #askOsRelease(leader: ProcessIdentity, request: string): Promise<ReadonlyMap<string, string> | undefined> {
    const answer = JSON.parse(await this.#ask(leader, request)) as OsReleaseAnswer;
    if ('errno' in answer) throw systemFailure(answer.errno, answer.message);
    return answer.fields === null ? undefined : new Map(answer.fields);
  }

  async #ask(leader: ProcessIdentity, request: string): Promise<string> {
    try {
      return await this.#helpers.ask(request);
    } catch (error) {
      if (isFailure(error, 'system')) {
        this.#log.warning(`Cannot look into the guest of process ${leader.pid}: ${error.message}`);
      }
      throw error;
    }
  }
}
