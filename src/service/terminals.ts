import { Failure } from '../domain/failure.js';
import type { Machine } from '../domain/machine.js';
import { checkCommand, checkEnvironment, checkShellUser, commandOf, type ShellRequest } from '../domain/shell.js';
import type { Authority } from '../ports/authority.js';
import type { Processes } from '../ports/processes.js';
import type { Terminal, Terminals } from '../ports/terminals.js';
import { accessDenied, authorize, type Call } from './call.js';

/** A shell as a caller asks for it: '' is root, '' for a path is the user's own shell. */
export interface ShellInput {
  readonly user: string;
  readonly path: string;
  readonly args: readonly string[];
  readonly environment: readonly string[];
}

export interface MachineTerminalsPorts {
  readonly terminals: Terminals;
  readonly processes: Processes;
  readonly authority: Authority;
}

/** PID 1 lives in the host's user namespace. */
const initPid = 1;

/**
 * Terminals of machines. What they may do is asked for before it is found out what the machine can do. All throw Failure
 * 'not-supported' for virtual machines, and what ports/terminals says.
 */
export class MachineTerminals {
  readonly #ports: MachineTerminalsPorts;

  constructor(ports: MachineTerminalsPorts) {
    this.#ports = ports;
  }

  async openPty(call: Call, machine: Machine): Promise<Terminal> {
    await authorize(this.#ports.authority, call, { name: machine.name, owner: machine.owner });
    return this.#ports.terminals.open(leaderOf(machine));
  }

  async openLogin(call: Call, machine: Machine): Promise<Terminal> {
    await authorize(this.#ports.authority, call, { name: machine.name, owner: machine.owner });
    return this.#ports.terminals.login(leaderOf(machine));
  }

  /** Also throws Failure 'invalid-argument', 'no-such-user'. */
  async openShell(call: Call, machine: Machine, input: ShellInput): Promise<Terminal> {
    const request = await this.#authorizeShell(call, machine, input);
    return this.#ports.terminals.shell(leaderOf(machine), request);
  }

  /** The same, by entering the machine: it need not have a service manager, nor a bus. */
  async openEnteredShell(call: Call, machine: Machine, input: ShellInput): Promise<Terminal> {
    const request = await this.#authorizeShell(call, machine, input);
    return this.#ports.terminals.enteredShell(leaderOf(machine), request);
  }

  async #authorizeShell(call: Call, machine: Machine, input: ShellInput): Promise<ShellRequest> {
    const user = checkShellUser(input.user);
    this.refuseRootNamespace(machine);
    const command = checkCommand(input.path, input.args);
    const request: ShellRequest = { user, command, environment: checkEnvironment(input.environment) };
    await authorize(this.#ports.authority, call, {
      name: machine.name,
      owner: machine.owner,
      details: detailsOf(request),
    });
    return request;
  }

  /**
   * A machine of a user's that has no user namespace of its own is not entered, not even by root: its owner could have
   * put anything there. Throws Failure 'access-denied'.
   */
  refuseRootNamespace({ owner, leader }: Machine): void {
    if (owner === 0) return;
    const { processes } = this.#ports;
    if (processes.namespaceOf(leader.pid, 'user') === processes.namespaceOf(initPid, 'user')) {
      throw accessDenied('Only root may shell into the root user namespace');
    }
  }
}

function leaderOf(machine: Machine): Machine['leader'] {
  if (machine.class === 'vm') throw new Failure('not-supported', 'Operation not supported');
  return machine.leader;
}

/** What polkit's rules and agents are told. */
function detailsOf(request: ShellRequest): Readonly<Record<string, string>> {
  const { program, arguments: words } = commandOf(request);
  return { user: request.user, program, command_line: words.join(' ') };
}
