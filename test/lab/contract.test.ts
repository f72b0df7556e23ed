// The interfaces are those of systemd 262: clients that were made for it find every name and every type.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeNode } from '../../src/front/dbus/introspection.js';
import { describe, printDescription } from '../../src/wire/varlink/idl.js';
import { dbusInterfaces, membersInIdl, membersInXml, varlinkInterfaces } from '../support/contract.js';
import { bootHost, type LabHost } from './harness.js';

/** Where the real daemon shows each interface. An image is needed to see that of images: the host itself is one. */
const dbusPaths: Readonly<Record<string, string>> = {
  'org.freedesktop.machine1.Manager': '/org/freedesktop/machine1',
  'org.freedesktop.machine1.Machine': '/org/freedesktop/machine1/machine/_2ehost',
  'org.freedesktop.machine1.Image': '/org/freedesktop/machine1/image/_2ehost',
  'org.freedesktop.LogControl1': '/org/freedesktop/LogControl1',
};

const machineSocket = '/run/systemd/machine/io.systemd.Machine';
const varlinkSockets: Readonly<Record<string, string>> = {
  'io.systemd.UserDatabase': '/run/systemd/userdb/io.systemd.Machine',
  'io.systemd.Resolve.Hook': '/run/systemd/resolve.hook/io.systemd.Machine',
};

test('the interfaces are those of systemd-machined', async (context) => {
  await using host = await bootHost({ suite: 'sid', name: 'contract', daemon: 'real' });
  for (const declaration of dbusInterfaces) {
    await context.test(declaration.name, async () => {
      const theirs = membersInXml(await realXml(host, dbusPaths[declaration.name] ?? assert.fail()));
      const ours = membersInXml(describeNode([{ declaration, methods: new Map(), properties: new Map() }], []));
      const standard = ['Peer', 'Introspectable', 'Properties'].map((name) => `org.freedesktop.DBus.${name}`);
      assert.deepEqual([...ours.keys()], [...standard, declaration.name]);
      for (const name of ours.keys()) assert.deepEqual(ours.get(name), theirs.get(name), name);
    });
  }
  for (const declaration of varlinkInterfaces) {
    await context.test(declaration.name, async () => {
      const theirs = await realIdl(host, varlinkSockets[declaration.name] ?? machineSocket, declaration.name);
      assert.deepEqual(membersInIdl(printDescription(describe(declaration))), membersInIdl(theirs));
    });
  }
});

async function realXml(host: LabHost, path: string): Promise<string> {
  return output(host, ['busctl', '--xml-interface', 'introspect', 'org.freedesktop.machine1', path]);
}

async function realIdl(host: LabHost, socket: string, name: string): Promise<string> {
  // not varlinkctl introspect: that prints what it has understood, and not what it was sent
  const parameters = JSON.stringify({ interface: name });
  const method = 'org.varlink.service.GetInterfaceDescription';
  const answer = await output(host, ['varlinkctl', '--json=short', 'call', `unix:${socket}`, method, parameters]);
  return (JSON.parse(answer) as { description: string }).description;
}

async function output(host: LabHost, command: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await host.run(command);
  assert.equal(status, 0, stderr);
  return stdout;
}
