// How a watcher learns that something may have changed, where the daemon has no subscription for it.
import { existsSync, watch, type FSWatcher } from 'node:fs';
import path from 'node:path';
import { managerInterface } from '../contract/dbus/manager.js';
import type { BusClient } from './bus.js';
import { managerPath } from './dbus-backend.js';
import { MachinedError } from './error.js';

/** Tells that something may have changed, once for any number of changes. */
export interface Notices extends Disposable {
  /** Resolves when something may have changed since it last did. Rejects if that can no longer be told. */
  next(signal: AbortSignal | undefined): Promise<void>;
}

class Notice implements Notices {
  #pending = false;
  #failure: Error | undefined;
  #wake: () => void = () => undefined;
  #release: () => void = () => undefined;

  /** What is to be done in the end. */
  owns(release: () => void): void {
    this.#release = release;
  }

  give(): void {
    this.#pending = true;
    this.#wake();
  }

  fail(error: Error): void {
    this.#failure ??= error;
    this.#wake();
  }

  async next(signal: AbortSignal | undefined): Promise<void> {
    while (!this.#pending) {
      signal?.throwIfAborted();
      if (this.#failure !== undefined) throw this.#failure;
      await new Promise<void>((resolve) => {
        this.#wake = () => {
          signal?.removeEventListener('abort', this.#wake);
          resolve();
        };
        signal?.addEventListener('abort', this.#wake);
      });
    }
    this.#pending = false;
  }

  [Symbol.dispose](): void {
    this.#release();
  }
}

/** Of the signals of the registry, from when the promise resolves. */
export async function signalNotices(bus: BusClient): Promise<Notices> {
  const notice = new Notice();
  const subscriptions = await Promise.all([
    bus.subscribe(managerInterface, managerPath, 'MachineNew', () => notice.give()),
    bus.subscribe(managerInterface, managerPath, 'MachineRemoved', () => notice.give()),
  ]);
  notice.owns(() => {
    for (const subscription of subscriptions) subscription[Symbol.dispose]();
  });
  const lost = (reason: Error | undefined): void => {
    notice.fail(new MachinedError('disconnected', `The connection to the bus is over: ${reason?.message ?? 'it was closed'}`));
  };
  bus.whenClosed().then(lost, lost);
  return notice;
}

/** Of the files in a directory, which need not be there yet, and may be removed and made again. */
export function directoryNotices(directory: string): Notices {
  const notice = new Notice();
  let watcher: FSWatcher | undefined;
  let isOver = false;
  const arm = (): void => {
    watcher?.close();
    if (isOver) return;
    const watched = nearestExisting(directory);
    try {
      watcher = watch(watched, (_event, name) => {
        // while it waits for the directory, or when that itself is what the event is about
        if (watched !== directory || name === path.basename(directory)) arm();
        notice.give();
      });
      watcher.on('error', () => arm());
      // made in the meantime, which nobody was told of
      if (nearestExisting(directory) !== watched) arm();
    } catch (error) {
      notice.fail(new MachinedError('system', `${watched} cannot be watched: ${String(error)}`, { cause: error }));
    }
  };
  notice.owns(() => {
    isOver = true;
    watcher?.close();
  });
  arm();
  return notice;
}

function nearestExisting(directory: string): string {
  return existsSync(directory) || directory === '/' ? directory : nearestExisting(path.dirname(directory));
}
