import { systemFailure } from '../../domain/failure.js';
import type { ProcessIdentity } from '../../domain/machine.js';
import { unwatched, type WorkControl } from '../../domain/operations.js';
import type { BindRequest, CopyRequest, GuestFiles } from '../guest-files.js';

export interface FakeCopy extends CopyRequest {
  readonly pid: number;
  readonly report: WorkControl['report'];
  finish(): void;
}

/** Remembers what it was asked for. Copies are done at once, or when the test says so. */
export class FakeGuestFiles implements GuestFiles {
  readonly copies: FakeCopy[] = [];
  readonly binds: (BindRequest & { readonly pid: number })[] = [];
  /** PIDs of leaders. */
  readonly forgotten: number[] = [];
  /** Whether a copy is done at once. */
  copiesEnd = (_request: CopyRequest): boolean => true;
  /** PIDs of leaders that are no more. */
  readonly ended = new Set<number>();
  /** A symbolic errno that everything fails with. */
  errno: string | undefined;
  readonly #openFile: () => number;

  /** `openFile` makes a descriptor that the caller of openRoot closes. */
  constructor(openFile: () => number) {
    this.#openFile = openFile;
  }

  async openRoot({ pid }: ProcessIdentity): Promise<number> {
    this.#failIfWanted(pid);
    return this.#openFile();
  }

  async copy({ pid }: ProcessIdentity, request: CopyRequest, { report, canceled } = unwatched): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      canceled.addEventListener('abort', () => reject(systemFailure('ECANCELED', 'Operation canceled')));
      this.copies.push({ ...request, pid, report, finish: resolve });
      this.#failIfWanted(pid);
      if (!this.copiesEnd(request)) return;
      report({ filesDone: 1, filesTotal: 1 });
      resolve();
    });
  }

  async bind({ pid }: ProcessIdentity, request: BindRequest): Promise<void> {
    this.#failIfWanted(pid);
    this.binds.push({ ...request, pid });
  }

  async unbind({ pid }: ProcessIdentity, destination: string): Promise<void> {
    this.#failIfWanted(pid);
    const index = this.binds.findLastIndex((bind) => bind.pid === pid && bind.destination === destination);
    if (index < 0) throw systemFailure('EINVAL', `Nothing that was bound into the machine is mounted on ${destination}`);
    this.binds.splice(index, 1);
  }

  forget({ pid }: ProcessIdentity): void {
    this.forgotten.push(pid);
  }

  #failIfWanted(pid: number): void {
    const errno = this.ended.has(pid) ? 'ESRCH' : this.errno;
    if (errno !== undefined) throw systemFailure(errno, errno);
  }
}
