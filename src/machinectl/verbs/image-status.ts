import { imageInterface } from '../../contract/dbus/image.js';
import { managerInterface } from '../../contract/dbus/manager.js';
import { formatBytes } from '../bytes.js';
import { styled, type ColourMode } from '../colours.js';
import type { Context } from '../context.js';
import { formatFields, type Field } from '../fields.js';
import { readImage } from '../images.js';
import type { JsonValue } from '../json.js';
import { hexadecimal, propertiesAsJson } from '../properties.js';
import { failureOf, unlessRefused, type ImageProperties } from '../registry.js';
import { defaultSettings } from '../settings.js';
import { formatAgo, formatTimestamp } from '../time.js';

interface Details {
  readonly properties: ImageProperties;
  /** What was found inside; '' where there is none. */
  readonly hostname: string;
  readonly machineId: string;
  readonly deployment: string;
  readonly os: string;
}

export async function run(context: Context, names: readonly string[]): Promise<void> {
  const { registry, settings, output } = context;
  if (names.length === 0) return showPool(context);
  const images: JsonValue[] = [];
  for (const [index, name] of names.entries()) {
    const details = await readDetails(context, name, await readImage(registry, name));
    if (settings.json !== 'off') {
      images.push(asJson(details));
    } else {
      if (index > 0) output.print('\n');
      output.print(`${name}\n${formatFields(fieldsOf(details, output.colours))}`);
    }
  }
  if (settings.json !== 'off') output.printJson(images, settings.json);
}

async function showPool({ registry, settings, output }: Context): Promise<void> {
  let properties;
  try {
    properties = await registry.poolProperties();
  } catch (error) {
    throw failureOf('Could not get properties', error);
  }
  if (settings.json !== 'off') return output.printJson(propertiesAsJson(managerInterface, properties, defaultSettings()), settings.json);
  const { PoolPath: path = '', PoolUsage: usage, PoolLimit: limit } = properties;
  output.print(formatFields([['Path', path], ...sizeFields(usage, undefined, limit, undefined)]));
}

async function readDetails({ registry }: Context, name: string, properties: ImageProperties): Promise<Details> {
  // One after the other: systemd-machined attaches a disk anew for each, and does not get it while it is still attached.
  const hostname = await unlessRefused(registry.call('GetImageHostname', { name }));
  const id = await unlessRefused(registry.call('GetImageMachineID', { name }));
  const information = await unlessRefused(registry.call('GetImageMachineInfo', { name }));
  const release = await unlessRefused(registry.call('GetImageOSRelease', { name }));
  const machineId = hexadecimal(id?.id ?? []);
  return {
    properties,
    hostname: hostname?.hostname ?? '',
    machineId: /^0*$/.test(machineId) ? '' : machineId,
    deployment: information?.machine_info.get('DEPLOYMENT') ?? '',
    os: release?.os_release.get('PRETTY_NAME') ?? '',
  };
}

function fieldsOf({ properties, hostname, machineId, deployment, os }: Details, colours: ColourMode): readonly Field[] {
  const { Type: type = '', Path: path = '', ReadOnly: readOnly = false } = properties;
  const fields: Field[] = [];
  if (type !== '') fields.push(['Type', type]);
  if (path !== '') fields.push(['Path', path]);
  if (hostname !== '') fields.push(['Hostname', hostname]);
  if (machineId !== '') fields.push(['Machine ID', machineId]);
  if (deployment !== '') fields.push(['Deployment', deployment]);
  if (os !== '') fields.push(['OS', os]);
  fields.push(['RO', readOnly ? styled('read-only', 'red', colours) : 'writable']);
  fields.push(...timeField('Created', properties.CreationTimestamp), ...timeField('Modified', properties.ModificationTimestamp));
  fields.push(...sizeFields(properties.Usage, properties.UsageExclusive, properties.Limit, properties.LimitExclusive));
  return fields;
}

function timeField(label: string, time = 0n): readonly Field[] {
  if (time === 0n) return [];
  return [[label, `${formatTimestamp(time)}; ${formatAgo(BigInt(Date.now()) * 1000n - time)}`]];
}

function sizeFields(usage: bigint | undefined, exclusiveUsage: bigint | undefined, limit: bigint | undefined, exclusiveLimit: bigint | undefined): readonly Field[] {
  return [...sizeField('Usage', usage, exclusiveUsage), ...sizeField('Limit', limit, exclusiveLimit)];
}

/** What is shared with other images makes the difference between the two. */
function sizeField(label: string, size: bigint | undefined, exclusive: bigint | undefined): readonly Field[] {
  const text = size === undefined ? undefined : formatBytes(size);
  if (text === undefined) return [];
  const alone = exclusive === undefined || exclusive === size ? undefined : formatBytes(exclusive);
  return [[label, alone === undefined ? text : `${text} (exclusive: ${alone})`]];
}

function asJson({ properties, hostname, machineId, deployment, os }: Details): JsonValue {
  const orNull = (text: string): string | null => (text === '' ? null : text);
  return {
    ...propertiesAsJson(imageInterface, properties, defaultSettings()),
    Hostname: orNull(hostname),
    MachineID: orNull(machineId),
    Deployment: orNull(deployment),
    OSPrettyName: orNull(os),
  };
}
