import type { ProcessIdentity } from '../domain/machine.js';

export interface NetworkAddress {
  /** AF_INET (2) or AF_INET6 (10). */
  readonly family: number;
  /** 4 or 16, in network order. */
  readonly bytes: Uint8Array;
  /** In the namespace that it was found in. */
  readonly interfaceIndex: number;
}

/**
 * Looks into what runs behind a process: its namespaces, its files. A guest may be hostile: every answer is bounded in
 * time and size, no path of a guest leads to the host, and a process that was replaced since is not looked at.
 */
export interface Guests {
  /** Addresses of the leader's network namespace, without loopback ones; undefined if that is the host's own. */
  addresses(leader: ProcessIdentity): Promise<readonly NetworkAddress[] | undefined>;
  /** The host's own addresses, without loopback ones. */
  hostAddresses(): Promise<readonly NetworkAddress[]>;
  /**
   * Addresses of whoever is behind interfaces of the host, by their index, as far as the host has heard of them: of guests
   * with a kernel of their own. None for interfaces that are not there. Fails with Failure 'system'.
   */
  neighbours(interfaces: readonly number[]): Promise<readonly NetworkAddress[]>;
  /** The fields of /etc/os-release or /usr/lib/os-release in the leader's root; undefined if there is neither. */
  osRelease(leader: ProcessIdentity): Promise<ReadonlyMap<string, string> | undefined>;
}
