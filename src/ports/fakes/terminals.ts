import { Failure, systemFailure } from '../../domain/failure.js';
import type { ProcessIdentity } from '../../domain/machine.js';
import type { ShellRequest } from '../../domain/shell.js';
import type { Terminal, Terminals } from '../terminals.js';

/** What there is behind one process. */
export interface FakeTerminalGuest {
  readonly users: readonly string[];
  readonly programs: readonly string[];
  /** A symbolic errno that every attempt fails with. */
  readonly errno?: string;
}

export interface OpenedTerminal {
  readonly leader: number;
  readonly use: 'nothing' | 'login' | ShellRequest;
}

/** Terminals by the PID of the leader; other leaders have ended. */
export class FakeTerminals implements Terminals {
  readonly guests = new Map<number, FakeTerminalGuest>();
  readonly opened: OpenedTerminal[] = [];
  readonly #newDescriptor: () => number;

  /** Descriptors cannot be faked: `newDescriptor` opens something that can be closed. */
  constructor(newDescriptor: () => number) {
    this.#newDescriptor = newDescriptor;
  }

  async open(leader: ProcessIdentity): Promise<Terminal> {
    this.#guest(leader);
    return this.#terminal(leader, 'nothing');
  }

  async login(leader: ProcessIdentity): Promise<Terminal> {
    this.#guest(leader);
    return this.#terminal(leader, 'login');
  }

  async shell(leader: ProcessIdentity, request: ShellRequest): Promise<Terminal> {
    const { users, programs } = this.#guest(leader);
    const { user, command } = request;
    if (!users.includes(user)) throw new Failure('no-such-user', `The machine has no user '${user}'`);
    if (command !== undefined && !programs.includes(command.program)) {
      throw systemFailure('ENOENT', `The machine has no program ${command.program}`);
    }
    return this.#terminal(leader, request);
  }

  enteredShell(leader: ProcessIdentity, request: ShellRequest): Promise<Terminal> {
    return this.shell(leader, request);
  }

  #guest({ pid }: ProcessIdentity): FakeTerminalGuest {
    const guest = this.guests.get(pid);
    const errno = guest === undefined ? 'ESRCH' : guest.errno;
    if (errno !== undefined) throw systemFailure(errno, `Process ${pid} gives no terminal`);
    return guest as FakeTerminalGuest;
  }

  #terminal({ pid }: ProcessIdentity, use: OpenedTerminal['use']): Terminal {
    this.opened.push({ leader: pid, use });
    return { fd: this.#newDescriptor(), path: `/dev/pts/${this.opened.length}` };
  }
}
