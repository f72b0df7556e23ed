import { Failure, systemFailure } from '../domain/failure.js';
import type { Machine } from '../domain/machine.js';
import type { Authority } from '../ports/authority.js';
import type { Guests, NetworkAddress } from '../ports/guests.js';
import { authorize, type Call } from './call.js';
import type { Users } from './users.js';

/** Looks into machines. Whatever a guest may hold up is done elsewhere, within a time limit: see ports/guests. */
export class MachineInspector {
  readonly #users: Users;
  readonly #guests: Guests;
  readonly #authority: Authority;

  constructor(users: Users, guests: Guests, authority: Authority) {
    this.#users = users;
    this.#guests = guests;
    this.#authority = authority;
  }

  /**
   * Its network addresses. Those of a virtual machine are what the host's network interfaces to it have seen. Throws Failure
   * 'not-available' (a virtual machine without such interfaces), 'no-private-networking', 'system'.
   */
  async addresses(machine: Machine): Promise<readonly NetworkAddress[]> {
    if (machine.class === 'host') return this.#guests.hostAddresses();
    if (machine.class === 'vm' && machine.networkInterfaces.length > 0) return this.#guests.neighbours(machine.networkInterfaces);
    if (machine.class !== 'container') {
      throw new Failure('not-available', 'Requesting IP address data is only supported on container machines.');
    }
    const addresses = await this.#guests.addresses(machine.leader);
    if (addresses === undefined) {
      throw new Failure('no-private-networking', `Machine ${machine.name} does not use private networking`);
    }
    return addresses;
  }

  /** What its os-release(5) says. Throws Failure 'not-available' (not a container), 'no-os-release', 'system'. */
  async osRelease(call: Call, machine: Machine): Promise<ReadonlyMap<string, string>> {
    await authorize(this.#authority, call, { name: machine.name });
    return this.readOsRelease(machine);
  }

  /** The same, for a call that was authorized before. */
  async readOsRelease(machine: Machine): Promise<ReadonlyMap<string, string>> {
    if (machine.class !== 'container' && machine.class !== 'host') {
      throw new Failure('not-available', 'Requesting OS release data is only supported on container machines.');
    }
    const release = await this.#guests.osRelease(machine.leader);
    if (release === undefined) {
      throw new Failure('no-os-release', 'Failed to get OS release: No such file or directory');
    }
    return release;
  }

  /** The host's id of its root user. Throws Failure 'not-available', 'no-uid-shift', 'system'. */
  uidShift(machine: Machine): number {
    return this.#users.shift(machine);
  }

  /** How ssh reaches it. Throws Failure 'system' (ENOENT) if that is not known. */
  sshInfo(machine: Machine): { readonly address: string; readonly privateKeyPath: string } {
    if (machine.sshAddress === '' || machine.sshPrivateKeyPath === '') {
      throw systemFailure('ENOENT', 'No such file or directory');
    }
    return { address: machine.sshAddress, privateKeyPath: machine.sshPrivateKeyPath };
  }
}
