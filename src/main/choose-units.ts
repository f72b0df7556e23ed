import { CgroupUnits } from '../host/units/cgroup.js';
import { NoUnits } from '../host/units/none.js';
import { SystemdUnits } from '../host/units/systemd.js';
import type { Log } from '../ports/log.js';
import type { Units } from '../ports/units.js';
import type { BusLink } from './bus-link.js';

export interface UnitsChoice {
  readonly uid: number;
  /** systemd is PID 1: sd_booted(3). */
  readonly isBooted: boolean;
  readonly link: BusLink;
  readonly log: Log;
}

/** systemd where it runs and can be reached, cgroups where they can be written to, and otherwise none. */
export async function chooseUnits({ uid, isBooted, link, log }: UnitsChoice): Promise<Units> {
  if (isBooted && uid === 0 && link.current !== undefined) {
    const units = new SystemdUnits((message) => log.warning(message));
    await link.serve(async (connection) => {
      await units.attach(connection);
      return { [Symbol.dispose]: () => undefined }; // it lets go of a connection that is over by itself
    });
    return units;
  }
  return CgroupUnits.find(log) ?? new NoUnits();
}
