import { systemFailure } from '../../domain/failure.js';
import type { ProcessIdentity } from '../../domain/machine.js';
import type { NetworkAddress } from '../../ports/guests.js';
import { listAddresses, type InterfaceAddress } from '../kernel/interface-addresses.js';
import { closeNamespace, inNetworkNamespace, isOwnNetwork, openNetworkNamespace } from '../kernel/namespaces.js';
import { closeRouteSocket, openRouteSocket } from '../kernel/netlink.js';
import { errnoNameOf, failureOf } from '../kernel/system-error.js';
import { PinnedProcess } from './pinned-process.js';

// if_addr.h, rtnetlink.h
const IFA_F_DEPRECATED = 0x20;
const IFA_F_TENTATIVE = 0x40;
const RT_SCOPE_HOST = 254;

/** A guest can give itself as many addresses as it likes; nobody wants to see more of them. */
const largestNumber = 4096;

/**
 * Addresses in the network namespace of a process that others can reach it by; undefined if it is our own namespace.
 * First IPv4, then IPv6, each from the widest scope to the narrowest, then by interface and address: what systemd's
 * tools show. Throws Failure 'system': ESRCH, EPERM without CAP_SYS_ADMIN.
 */
export function readAddresses(leader: ProcessIdentity): readonly NetworkAddress[] | undefined {
  try {
    using pin = new PinnedProcess(leader);
    const namespace = openNetworkNamespace(leader.pid);
    try {
      pin.assertAlive(); // so that the namespace is this process's
      return isOwnNetwork(namespace) ? undefined : addressesIn(namespace);
    } finally {
      closeNamespace(namespace);
    }
  } catch (error) {
    throw explain(error, leader);
  }
}

/** The same of our own network namespace. */
export function readHostAddresses(): readonly NetworkAddress[] {
  return addressesBehind(openRouteSocket());
}

function addressesIn(namespace: number): readonly NetworkAddress[] {
  return addressesBehind(inNetworkNamespace(namespace, openRouteSocket));
}

function addressesBehind(fd: number): readonly NetworkAddress[] {
  try {
    return listAddresses(fd, largestNumber).filter(isOfUse).sort(compare);
  } finally {
    closeRouteSocket(fd);
  }
}

function isOfUse({ scope, flags }: InterfaceAddress): boolean {
  return scope < RT_SCOPE_HOST && (flags & (IFA_F_TENTATIVE | IFA_F_DEPRECATED)) === 0;
}

function compare(one: InterfaceAddress, other: InterfaceAddress): number {
  return (
    one.family - other.family ||
    one.scope - other.scope ||
    one.interfaceIndex - other.interfaceIndex ||
    Buffer.compare(one.bytes, other.bytes)
  );
}

function explain(error: unknown, leader: ProcessIdentity): unknown {
  const code = errnoNameOf(error);
  if (code === 'EPERM' || code === 'EACCES') {
    return systemFailure('EPERM', 'Only a privileged daemon can look into the network of a machine', error);
  }
  if (code === 'ENOENT' || code === 'ESRCH') {
    return systemFailure('ESRCH', `Process ${leader.pid}, which leads the machine, has ended`, error);
  }
  return code === undefined ? error : failureOf(error, `Cannot read the addresses of process ${leader.pid}`);
}
