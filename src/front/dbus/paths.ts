import { escapeLabel, unescapeLabel } from '../../wire/dbus/object-path.js';

export const busName = 'org.freedesktop.machine1';
export const managerPath = '/org/freedesktop/machine1';
export const machinesPath = `${managerPath}/machine`;
export const imagesPath = `${managerPath}/image`;
export const logControlPath = '/org/freedesktop/LogControl1';

const machinePaths = new Map<string, string>();
const rememberedPaths = 20_000; // more than that many machines at once only costs the escaping again

/** The object path of a machine. */
export function machinePath(name: string): string {
  const known = machinePaths.get(name);
  if (known !== undefined) return known;
  if (machinePaths.size >= rememberedPaths) machinePaths.clear();
  const path = `${machinesPath}/${escapeLabel(name)}`;
  machinePaths.set(name, path);
  return path;
}

/** The name that the last part of an object path stands for, or undefined if it stands for none. */
export function nameInPath(path: string): string | undefined {
  return unescapeLabel(path.slice(path.lastIndexOf('/') + 1));
}
