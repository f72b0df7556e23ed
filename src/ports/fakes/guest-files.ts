import { systemFailure } from '../../domain/failure.js';
import type { ProcessIdentity } from '../../domain/machine.js';
import type { BindRequest, CopyRequest, GuestFiles, Operation } from '../guest-files.js';

export interface FakeCopy extends CopyRequest {
  readonly pid: number;
  finish(): void;
}

/** Remembers what it was asked for. Copies end when the test says so, unless `copiesEnd`. */
export class FakeGuestFiles implements GuestFiles {
  readonly copies: FakeCopy[] = [];
  readonly binds: (BindRequest & { readonly pid: number })[] = [];
  copiesEnd = true;
  /** A symbolic errno that everything fails with. */
  errno: string | undefined;
  readonly #openFile: () => number;

  /** `openFile` makes a descriptor that the caller of openRoot closes. */
  constructor(openFile: () => number) {
    this.#openFile = openFile;
  }

  async openRoot(): Promise<number> {
    this.#failIfWanted();
    return this.#openFile();
  }

  copy({ pid }: ProcessIdentity, request: CopyRequest): Operation {
    let cancel = (): void => undefined;
    const done = new Promise<void>((resolve, reject) => {
      cancel = () => reject(systemFailure('ECANCELED', 'The operation was given up'));
      this.copies.push({ ...request, pid, finish: resolve });
      if (this.errno !== undefined) reject(systemFailure(this.errno, this.errno));
      else if (this.copiesEnd) resolve();
    });
    return { done, cancel: () => cancel() };
  }

  async bind({ pid }: ProcessIdentity, request: BindRequest): Promise<void> {
    this.#failIfWanted();
    this.binds.push({ ...request, pid });
  }

  #failIfWanted(): void {
    if (this.errno !== undefined) throw systemFailure(this.errno, this.errno);
  }
}
