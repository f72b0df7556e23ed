import { Failure, invalidArgument, systemFailure } from '../domain/failure.js';
import type { Machine } from '../domain/machine.js';
import { isNormalizedPath } from '../domain/path.js';
import type { Authority } from '../ports/authority.js';
import type { Operations } from '../domain/operations.js';
import type { BindRequest, CopyRequest, GuestFiles } from '../ports/guest-files.js';
import { authorize, type Call } from './call.js';
import type { Machines } from './machines.js';

const wrongDestination = 'Destination path must be absolute and normalized.';

/** A destination that is '' is the same path as the source. */
export interface CopyInput extends Omit<CopyRequest, 'machine'> {
  /** What else is asked for, of which nothing is known. */
  readonly unknownFlags: boolean;
}

/** Reaches into the files of machines, for callers who may. Copies go on when their caller has left. */
export class MachineFiles implements Disposable {
  readonly #files: GuestFiles;
  readonly #authority: Authority;
  readonly #operations: Operations;
  readonly #observation: Disposable;

  constructor(files: GuestFiles, authority: Authority, machines: Pick<Machines, 'observe'>, operations: Operations) {
    this.#files = files;
    this.#authority = authority;
    this.#operations = operations;
    this.#observation = machines.observe({
      machineNew: () => undefined,
      machineRemoved: (machine) => {
        this.#cancelCopies(machine);
        files.forget(machine.leader);
      },
    });
  }

  [Symbol.dispose](): void {
    this.#observation[Symbol.dispose]();
  }

  /** A descriptor of the root directory that the caller owns. Throws Failure 'not-supported', 'system'. */
  async openRoot(call: Call, machine: Machine): Promise<number> {
    await authorize(this.#authority, call, { name: machine.name });
    if (machine.class !== 'container' && machine.class !== 'host') {
      throw new Failure('not-supported', 'Opening the root directory is only supported on container machines.');
    }
    return this.#files.openRoot(machine.leader);
  }

  /**
   * Resolves when everything is copied. Throws Failure 'not-supported' (not a container), 'invalid-argument',
   * 'too-many-operations', 'system': EADDRNOTAVAIL ('/' has no name to be copied by), and what GuestFiles say.
   */
  async copy(call: Call, machine: Machine, input: CopyInput): Promise<void> {
    if (machine.class !== 'container') {
      throw new Failure('not-supported', 'Copying files is only supported on container machines.');
    }
    if (input.unknownFlags) throw invalidArgument('flags', 'Invalid argument');
    const { source, destination } = checkPaths(input);
    await authorize(this.#authority, call, { name: machine.name, details: { src: source, dest: destination } });
    if (isRoot(source) || isRoot(destination)) {
      throw systemFailure('EADDRNOTAVAIL', `Failed to copy from/to machine '${machine.name}': Cannot assign requested address`);
    }
    const { direction, replace } = input;
    const { uid, pid } = await call.caller();
    await this.#operations.carryOut(
      { kind: `copy-${direction}`, subject: { type: 'machine', name: machine.name }, source, destination, owner: { uid, pid } },
      (control) => this.#files.copy(machine.leader, { machine: machine.name, direction, source, destination, replace }, control),
    );
  }

  /** Throws Failure 'not-supported' (not a container, or its owners cannot be mapped there), 'invalid-argument', 'system'. */
  async bind(call: Call, machine: Machine, input: BindRequest): Promise<void> {
    if (machine.class !== 'container') {
      throw new Failure('not-supported', 'Bind mounting is only supported on container machines.');
    }
    const { source, destination } = checkPaths(input);
    await authorize(this.#authority, call, { name: machine.name, details: { src: source, dest: destination } });
    const { readOnly, makeDestination } = input;
    await this.#files.bind(machine.leader, { source, destination, readOnly, makeDestination });
  }

  /**
   * Takes away what `bind` has made. Throws Failure 'not-supported' (not a container), 'invalid-argument', 'system': EINVAL
   * (there is nothing of that kind), EBUSY.
   */
  async unbind(call: Call, machine: Machine, destination: string): Promise<void> {
    if (machine.class !== 'container') {
      throw new Failure('not-supported', 'Bind mounting is only supported on container machines.');
    }
    if (!isNormalizedPath(destination)) throw invalidArgument('destination', wrongDestination);
    await authorize(this.#authority, call, { name: machine.name, details: { dest: destination } });
    await this.#files.unbind(machine.leader, destination);
  }

  /** The machine of that name that comes next is another one. */
  #cancelCopies(ended: Machine): void {
    for (const { id, subject } of this.#operations.all()) {
      if (subject?.type === 'machine' && subject.name === ended.name) this.#operations.cancel(id);
    }
  }
}

function checkPaths({ source, destination }: { source: string; destination: string }): { source: string; destination: string } {
  if (!isNormalizedPath(source)) throw invalidArgument('source', 'Source path must be absolute and normalized.');
  if (destination === '') return { source, destination: source };
  if (!isNormalizedPath(destination)) throw invalidArgument('destination', wrongDestination);
  return { source, destination };
}

function isRoot(path: string): boolean {
  return path === '/';
}
