import type { UnitPlace } from '../../ports/units.js';

// How service managers lay out the cgroup tree: systemd.slice(5), systemd.unit(5), systemd.io/CONTROL_GROUP_INTERFACE.

const unitTypes = 'service|socket|device|mount|automount|swap|target|path|timer|scope';
/** 'NAME.TYPE' or 'TEMPLATE@INSTANCE.TYPE'; a template without an instance is no unit that runs. */
const unitName = new RegExp(String.raw`^[A-Za-z0-9:_.\\-]+(@[A-Za-z0-9:_.\\@-]+)?\.(${unitTypes})$`);
const sliceName = /^[A-Za-z0-9:_.\\-]+\.slice$/;
const longestUnitName = 255;

/**
 * The unit that a cgroup path belongs to, and the rest of the path: the first component that is no slice is the unit.
 * undefined if that is no unit's name, or if there are slices only.
 *
 * '/machine.slice/systemd-nspawn@c1.service/payload/x' is unit 'systemd-nspawn@c1.service', subgroup 'payload/x'.
 */
export function placeOfCgroup(cgroup: string): UnitPlace | undefined {
  const components = cgroup.split('/').filter((component) => component !== '');
  const index = components.findIndex((component) => !sliceName.test(unescapeComponent(component)));
  if (index < 0) return undefined;
  const unit = unescapeComponent(components[index]!);
  if (!isUnitName(unit)) return undefined;
  return { unit, subgroup: components.slice(index + 1).join('/') };
}

/** Whether it can name a unit that runs, other than a slice. */
export function isUnitName(name: string): boolean {
  return name.length <= longestUnitName && unitName.test(name);
}

/** A name that the kernel might take for one of its own files is given a leading '_'. */
function unescapeComponent(component: string): string {
  return component.startsWith('_') ? component.slice(1) : component;
}
