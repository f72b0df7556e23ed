import { existsSync } from 'node:fs';
import { CgroupUnits } from '../host/units/cgroup.js';
import { NoUnits } from '../host/units/none.js';
import { SystemdUnits } from '../host/units/systemd.js';
import type { Log } from '../ports/log.js';
import type { Units } from '../ports/units.js';
import type { BusConnection } from '../transport/dbus/connection.js';
import type { BusLink } from './bus-link.js';
import type { Scope } from './places.js';

export interface UnitsChoice {
  readonly scope: Scope;
  readonly uid: number;
  readonly link: BusLink;
  readonly log: Log;
}

/** systemd where it runs and can be reached, cgroups where they can be written to, and otherwise none. */
export async function chooseUnits({ scope, uid, link, log }: UnitsChoice): Promise<Units> {
  const { current } = link;
  const hasSystemd = scope === 'user' ? hasUserManager : hasSystemManager;
  if (current !== undefined && (await hasSystemd(current, uid))) {
    const units = new SystemdUnits((message) => log.warning(message));
    await link.serve(async (connection) => {
      await units.attach(connection);
      return { [Symbol.dispose]: () => undefined }; // it lets go of a connection that is over by itself
    });
    return units;
  }
  return CgroupUnits.find(log) ?? new NoUnits();
}

/** systemd is PID 1: sd_booted(3). It makes scopes for root alone. */
async function hasSystemManager(_bus: BusConnection, uid: number): Promise<boolean> {
  return uid === 0 && existsSync('/run/systemd/system');
}

/** The user's instance of systemd is on the session bus; it is never started by that. */
async function hasUserManager(bus: BusConnection): Promise<boolean> {
  const [hasOwner] = await bus.call({
    destination: 'org.freedesktop.DBus',
    path: '/org/freedesktop/DBus',
    interface: 'org.freedesktop.DBus',
    member: 'NameHasOwner',
    signature: 's',
    body: ['org.freedesktop.systemd1'],
    replySignature: 'b',
  });
  return hasOwner;
}
