import { readdirSync, readFileSync } from 'node:fs';
import { formatAddress } from '../addresses.js';
import { formatCgroupTree } from '../cgroup-tree.js';
import type { Context } from '../context.js';
import { formatFields, type Field } from '../fields.js';
import { printable } from '../display-width.js';
import { readJournal } from '../journal.js';
import type { JsonValue } from '../json.js';
import { machineInterface } from '../../contract/dbus/machine.js';
import { hexadecimal, propertiesAsJson } from '../properties.js';
import { failureOf, unlessRefused, type MachineProperties } from '../registry.js';
import { defaultSettings } from '../settings.js';
import { formatAgo, formatTimestamp } from '../time.js';
import { readUnitProcesses, type ProcessTree } from '../unit-processes.js';

const AF_INET6 = 10;

/** Columns before the tree of processes: two tabs, and two spaces. */
const treePrefix = '\t\t  ';
const treeIndentation = 18;

interface Details {
  readonly properties: MachineProperties;
  readonly interfaces: readonly string[];
  readonly addresses: readonly string[];
  readonly os: string;
  readonly shift: number;
  readonly tree: ProcessTree | undefined;
}

export async function run(context: Context, names: readonly string[]): Promise<void> {
  const { settings, output } = context;
  const machines: JsonValue[] = [];
  for (const [index, name] of names.entries()) {
    const details = await readDetails(context, name);
    if (settings.json !== 'off') {
      machines.push(asJson(details));
    } else {
      if (index > 0) output.print('\n');
      printDetails(context, details);
    }
  }
  if (settings.json !== 'off') output.printJson(machines, settings.json);
}

async function readDetails({ registry }: Context, name: string): Promise<Details> {
  let path;
  try {
    ({ machine: path } = await registry.call('GetMachine', { name }));
  } catch (error) {
    throw failureOf('Could not get path to machine', error);
  }
  let properties: MachineProperties;
  try {
    properties = await registry.machineProperties(path);
  } catch (error) {
    throw failureOf('Could not get properties', error);
  }
  const { Unit: unit = '', Subgroup: subgroup = '', Leader: leader = 0, NetworkInterfaces: indexes = [] } = properties;
  const [addresses, release, shift, tree] = await Promise.all([
    unlessRefused(registry.call('GetMachineAddresses', { name })),
    unlessRefused(registry.call('GetMachineOSRelease', { name })),
    unlessRefused(registry.call('GetMachineUIDShift', { name })),
    unit === '' ? undefined : readUnitProcesses(registry, unit, subgroup, leader),
  ]);
  const [onlyInterface] = indexes.length === 1 ? indexes : [];
  return {
    properties,
    interfaces: indexes.map(interfaceName),
    addresses: (addresses?.addresses ?? []).map(([family, address]) => {
      // The same address may be on several links: which of them is told where there is but one.
      const zone = family === AF_INET6 && onlyInterface !== undefined ? `%${onlyInterface}` : '';
      return formatAddress(family, address) + zone;
    }),
    os: release?.fields.get('PRETTY_NAME') ?? '',
    shift: shift?.shift ?? 0,
    tree,
  };
}

/** The kernel's number, where the interface has gone. */
function interfaceName(index: number): string {
  const directory = '/sys/class/net';
  try {
    const names = readdirSync(directory);
    return names.find((name) => Number(readFileSync(`${directory}/${name}/ifindex`, 'utf8')) === index) ?? String(index);
  } catch {
    return String(index);
  }
}

function printDetails({ settings, output }: Context, details: Details): void {
  const { properties } = details;
  const unit = properties.Unit ?? '';
  output.print(heading(properties));
  // Much of it is what the machine says of itself.
  output.print(formatFields(fields(details).map(([label, ...lines]): Field => [label, ...lines.map(printable)])));
  const room = output.widthFor(settings);
  if (details.tree !== undefined) {
    const width = room === undefined ? undefined : Math.max(room - treeIndentation, 0);
    output.print(formatCgroupTree(details.tree.processes, details.tree.root, { prefix: treePrefix, width, colours: output.colours, glyphs: output.glyphs }));
  }
  if (unit === '' || settings.host !== undefined || settings.machine !== undefined) return;
  const journal = readJournal({
    unit, since: properties.Timestamp ?? 0n, lines: settings.lines, format: settings.journalFormat, full: room === undefined, scope: settings.scope,
    columns: output.columns, colours: output.colours,
  });
  if (journal !== '') output.print(`\n${journal}`);
}

function heading({ Name: name = '', Id: id = new Uint8Array() }: MachineProperties): string {
  const text = hexadecimal(id);
  return /^0*$/.test(text) ? `${name}\n` : `${name}(${text})\n`;
}

function fields({ properties, interfaces, addresses, os, shift }: Details): readonly Field[] {
  const { Timestamp: since = 0n, Leader: leader = 0, Supervisor: supervisor = 0, Service: service = '', Class: kind = '' } = properties;
  const { RootDirectory: root = '', Unit: unit = '', Subgroup: subgroup = '' } = properties;
  const found: Field[] = [];
  if (since > 0n) found.push(['Since', `${formatTimestamp(since)}; ${formatAgo(BigInt(Date.now()) * 1000n - since)}`]);
  if (leader > 0) found.push(['Leader', processName(leader)]);
  if (supervisor > 0) found.push(['Superv.', processName(supervisor)]);
  if (service !== '') found.push(['Service', kind === '' ? service : `${service}; class ${kind}`]);
  else if (kind !== '') found.push(['Class', kind]);
  if (root !== '') found.push(['Root', root]);
  if (interfaces.length > 0) found.push(['Iface', interfaces.join(' ')]);
  if (addresses.length > 0) found.push(['Address', ...addresses]);
  if (os !== '') found.push(['OS', os]);
  if (shift > 0) found.push(['ID Shift', String(shift)]);
  if (unit !== '') found.push(['Unit', unit]);
  if (subgroup !== '') found.push(['Subgroup', subgroup]);
  return found;
}

/** '165 (systemd)'. */
function processName(pid: number): string {
  try {
    return `${pid} (${readFileSync(`/proc/${pid}/comm`, 'utf8').trimEnd()})`;
  } catch {
    return String(pid); // it has ended, or runs on another host
  }
}

function asJson({ properties, interfaces, addresses, os, shift, tree }: Details): JsonValue {
  return {
    ...propertiesAsJson(machineInterface, properties, defaultSettings()),
    Interfaces: interfaces,
    Addresses: addresses,
    OSPrettyName: os === '' ? null : os,
    UIDShift: shift,
    Processes: (tree?.processes ?? []).map((process) => ({ ...process })),
  };
}
