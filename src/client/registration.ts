import { isMachinedError } from './error.js';
import type { CallSettings } from './model.js';
import type { MachineClient } from './client.js';

/**
 * A machine that this process has registered. It is unregistered when this is disposed of; its processes go on.
 *
 *     await using machine = await client.register({ name: 'web', class: 'container', leader: pid });
 */
export class Registration implements AsyncDisposable {
  /** The machine's name. */
  readonly name: string;
  readonly #client: MachineClient;
  readonly #leader: number;
  #isOver = false;

  constructor(client: MachineClient, name: string, leader: number) {
    this.#client = client;
    this.name = name;
    this.#leader = leader;
  }

  /** Leaves the machine registered when this is disposed of: it goes when its leader ends. */
  release(): void {
    this.#isOver = true;
  }

  /**
   * Unregisters the machine, if that has not been done. One that has gone in the meantime is no error, and one that has
   * been registered by others under the name since then is left alone.
   */
  async unregister(settings: CallSettings = {}): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    try {
      const { leader } = await this.#client.get(this.name, settings);
      if (leader?.pid === this.#leader) await this.#client.unregister(this.name, settings);
    } catch (error) {
      if (!isMachinedError(error, 'no-such-machine')) throw error;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.unregister();
  }
}
