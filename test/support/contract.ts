// All interfaces that are declared, and descriptions of them that can be compared.
import * as dbusImage from '../../src/contract/dbus/image.js';
import * as dbusLogControl from '../../src/contract/dbus/log-control.js';
import * as dbusMachine from '../../src/contract/dbus/machine.js';
import * as dbusManager from '../../src/contract/dbus/manager.js';
import * as dbusOwnManager from '../../src/contract/dbus/own-manager.js';
import * as dbusOwnOperations from '../../src/contract/dbus/own-operations.js';
import type { InterfaceDeclaration } from '../../src/contract/dbus/declare.js';
import { imageVarlink } from '../../src/contract/varlink/image.js';
import { machineVarlink } from '../../src/contract/varlink/machine.js';
import { ownMachineVarlink } from '../../src/contract/varlink/own-machine.js';
import { ownOperationsVarlink } from '../../src/contract/varlink/own-operations.js';
import { resolveHookVarlink } from '../../src/contract/varlink/resolve-hook.js';
import { serviceVarlink, systemVarlink, varlinkServiceVarlink } from '../../src/contract/varlink/service.js';
import { userDatabaseVarlink } from '../../src/contract/varlink/user-database.js';
import { parseDescription } from '../../src/wire/varlink/idl.js';
import type { Interface } from '../../src/wire/varlink/schema.js';

/** Those of the original. */
export const dbusInterfaces: readonly InterfaceDeclaration[] = [
  dbusManager.managerInterface, dbusMachine.machineInterface, dbusImage.imageInterface, dbusLogControl.logControlInterface,
];

export const varlinkInterfaces: readonly Interface[] = [
  machineVarlink, imageVarlink, resolveHookVarlink, userDatabaseVarlink, serviceVarlink, systemVarlink, varlinkServiceVarlink,
];

/** Those that this project adds. */
export const ownDbusInterfaces: readonly InterfaceDeclaration[] = [
  dbusOwnManager.ownManagerInterface, dbusOwnOperations.ownOperationsInterface,
];
export const ownVarlinkInterfaces: readonly Interface[] = [ownMachineVarlink, ownOperationsVarlink];

/** One line for each member and each argument of the interfaces in introspection data, in its order. */
export function membersInXml(xml: string): Map<string, string[]> {
  const interfaces = new Map<string, string[]>();
  let lines: string[] = [];
  let member = '';
  for (const [, tag, attributes = ''] of xml.matchAll(/<(interface|method|signal|property|arg|annotation)\b([^>]*?)\/?>/g)) {
    const name = /name="([^"]*)"/.exec(attributes)?.[1] ?? '';
    const sorted = (attributes.match(/[a-z]+="[^"]*"/g) ?? []).sort().join(' ');
    if (tag === 'interface') {
      lines = [];
      interfaces.set(name, lines);
    } else if (tag === 'arg' || tag === 'annotation') {
      lines.push(`${member}: ${tag} ${sorted}`);
    } else {
      member = `${tag ?? ''} ${name}`;
      lines.push(`${member} ${sorted}`);
    }
  }
  return interfaces;
}

/** What the description of an interface in Varlink's language says, without the documentation. */
export function membersInIdl(text: string): unknown {
  return JSON.parse(JSON.stringify(parseDescription(text), (key, value: unknown) => (key === 'documentation' ? undefined : value)));
}
