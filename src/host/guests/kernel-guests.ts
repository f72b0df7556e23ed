import { isFailure } from '../../domain/failure.js';
import type { ProcessIdentity } from '../../domain/machine.js';
import type { Guests, NetworkAddress } from '../../ports/guests.js';
import type { Log } from '../../ports/log.js';
import { readAddresses, readHostAddresses } from './addresses.js';
import { HelperPool, ordinaryLimits, type HelperLimits } from './helper-pool.js';
import { KernelGuestFiles } from './kernel-guest-files.js';
import { readNeighbourAddresses } from './neighbour-addresses.js';
import { leaderText, type LeaderText } from './protocol.js';

/**
 * Looks into guests by their /proc directories. Addresses are a matter between us and the kernel, and asked for right
 * here; files are read by helper processes, as a guest can hold up whoever walks its paths.
 */
export class KernelGuests implements Guests, Disposable {
  /** The same guests' files. */
  readonly files: KernelGuestFiles;
  readonly #log: Log;
  readonly #helpers: HelperPool;
  /** What is being asked, so that no guest keeps more than one helper waiting at a time. */
  readonly #asking = new Map<string, Promise<ReadonlyMap<string, string> | undefined>>();

  /** `directory`: what is to be remembered of guests over a restart is kept there. */
  constructor(log: Log, directory: string, limits: HelperLimits = ordinaryLimits) {
    this.#log = log;
    this.#helpers = new HelperPool(limits);
    this.files = new KernelGuestFiles(log, this.#helpers, directory);
  }

  [Symbol.dispose](): void {
    this.#helpers[Symbol.dispose]();
  }

  async addresses(leader: ProcessIdentity): Promise<readonly NetworkAddress[] | undefined> {
    return readAddresses(leader);
  }

  async hostAddresses(): Promise<readonly NetworkAddress[]> {
    return readHostAddresses();
  }

  async neighbours(interfaces: readonly number[]): Promise<readonly NetworkAddress[]> {
    return readNeighbourAddresses(interfaces);
  }

  osRelease(leader: ProcessIdentity): Promise<ReadonlyMap<string, string> | undefined> {
    const text = leaderText(leader);
    const key = `${text.pid} ${text.pidfdId}`;
    const asked = this.#asking.get(key);
    if (asked !== undefined) return asked;
    const answer = this.#askOsRelease(text).finally(() => this.#asking.delete(key));
    this.#asking.set(key, answer);
    return answer;
  }

  async #askOsRelease(leader: LeaderText): Promise<ReadonlyMap<string, string> | undefined> {
    try {
      const { output } = await this.#helpers.ask('os-release', { leader });
      return output === null ? undefined : new Map(output);
    } catch (error) {
      if (isFailure(error, 'system')) {
        this.#log.warning(`Cannot look into the guest of process ${leader.pid}: ${error.message}`);
      }
      throw error;
    }
  }
}
