// What is asked of systemd's own manager: org.freedesktop.systemd1(5).
import { existsSync } from 'node:fs';
import { anyone } from '../contract/authorization.js';
import { dbusInterface, method, property, signal } from '../contract/dbus/declare.js';
import { CommandFailure } from './failure.js';
import type { Registry } from './registry.js';

export const systemdService = 'org.freedesktop.systemd1';
export const systemdPath = '/org/freedesktop/systemd1';

export const systemdManager = dbusInterface('org.freedesktop.systemd1.Manager', {
  methods: {
    StartUnit: method({ in: { name: 's', mode: 's' }, out: { job: 'o' }, authorization: anyone }),
    EnableUnitFiles: method({
      in: { files: 'as', runtime: 'b', force: 'b' },
      out: { carries_install_info: 'b', changes: 'a(sss)' },
      authorization: anyone,
    }),
    DisableUnitFiles: method({ in: { files: 'as', runtime: 'b' }, out: { changes: 'a(sss)' }, authorization: anyone }),
    Reload: method({ authorization: anyone }),
    Subscribe: method({ authorization: anyone }),
    GetUnitProcesses: method({ in: { name: 's' }, out: { processes: 'a(sus)' }, authorization: anyone }),
  },
  properties: {},
  signals: { JobRemoved: signal({ id: 'u', job: 'o', unit: 's', result: 's' }) },
});

/** Of the service units: systemd.service(5). */
export const systemdServiceInterface = dbusInterface('org.freedesktop.systemd1.Service', {
  methods: {},
  properties: { Result: property('s', 'false') },
  signals: {},
});

/** Throws CommandFailure where this host does not run systemd, sd_booted(3). */
export function requireSystemd(registry: Registry, why: string): void {
  const runs = registry.target.transport !== 'local' || existsSync('/run/systemd/system');
  if (!runs) throw new CommandFailure(`${why}, and this host does not run systemd. ${advice}`);
}

const advice =
  'Start the container by a program that registers it, or register it yourself with "machinectl register", ' +
  'and have it started at boot by what starts services here.';
