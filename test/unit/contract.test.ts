// The declarations hang together, and what is generated of them is what is checked in: with UPDATE_GOLDEN=1 in the
// environment the files in test/golden are written anew, to be looked at and committed.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { Authorization } from '../../src/contract/authorization.js';
import { describeNode } from '../../src/front/dbus/introspection.js';
import { describe, parseDescription, printDescription } from '../../src/wire/varlink/idl.js';
import { isSingleType } from '../../src/wire/dbus/signature.js';
import type { Method } from '../../src/wire/varlink/schema.js';
import * as contract from '../support/contract.js';

const projectRoot = path.resolve(import.meta.dirname, '../../..');
const dbusInterfaces = [...contract.dbusInterfaces, ...contract.ownDbusInterfaces];
const varlinkInterfaces = [...contract.varlinkInterfaces, ...contract.ownVarlinkInterfaces];
const golden = path.join(projectRoot, 'test/golden');

function matchesGolden(file: string, text: string): void {
  const full = path.join(golden, file);
  if (process.env['UPDATE_GOLDEN'] === '1') {
    mkdirSync(path.dirname(full), { recursive: true });
    writeFileSync(full, text);
  }
  assert.equal(text, readFileSync(full, 'utf8'));
}

const authorizationOf = (method: Method) => (method.extra as { authorization?: Authorization } | undefined)?.authorization;

function* allMethods(): Generator<readonly [name: string, authorization: Authorization | undefined]> {
  for (const { name, methods } of dbusInterfaces) {
    for (const [member, { authorization }] of Object.entries(methods)) yield [`${name}.${member}`, authorization];
  }
  for (const { name, methods } of varlinkInterfaces) {
    for (const [member, method] of Object.entries(methods)) yield [`${name}.${member}`, authorizationOf(method)];
  }
}

test('every method says who may call it', () => {
  const kinds = [...allMethods()].filter(([, authorization]) => !['anyone', 'root', 'polkit'].includes(authorization?.kind ?? ''));
  assert.deepEqual(kinds, []);
});

test('who may call what is what was agreed on', () => {
  const lines = [...allMethods()].map(([name, authorization]) => `${name}: ${describeAuthorization(authorization)}\n`);
  matchesGolden('authorization.txt', lines.join(''));
});

function describeAuthorization(authorization: Authorization | undefined): string {
  if (authorization?.kind !== 'polkit') return authorization?.kind ?? 'MISSING';
  const { action, hostAction, subject, verb, owner } = authorization;
  const short = (id: string) => id.replace('org.freedesktop.machine1.', '');
  const parts = [short(action)];
  if (hostAction !== action) parts.push(`.host: ${short(hostAction)}`);
  if (subject !== undefined) parts.push(`subject ${subject}`);
  if (verb !== undefined) parts.push(`verb ${verb}`);
  if (owner) parts.push('or its owner');
  return parts.join(', ');
}

test("every action is one of polkit's", () => {
  const policy = readFileSync(path.join(projectRoot, 'share/polkit-1/actions/org.freedesktop.machine1.policy'), 'utf8');
  const known = new Set([...policy.matchAll(/<action id="([^"]+)"/g)].map(([, id]) => id));
  for (const [name, authorization] of allMethods()) {
    if (authorization?.kind !== 'polkit') continue;
    for (const action of [authorization.action, authorization.hostAction]) assert.ok(known.has(action), `${name}: ${action}`);
  }
});

test('every property that can be set says by whom', () => {
  const writable = dbusInterfaces.flatMap(({ name, properties }) =>
    Object.entries(properties).flatMap(([property, { set }]) => (set === undefined ? [] : [[`${name}.${property}`, set.kind]])),
  );
  assert.deepEqual(writable, [
    ['org.freedesktop.LogControl1.LogLevel', 'root'], ['org.freedesktop.LogControl1.LogTarget', 'root'],
  ]);
});

test('every argument and property on the bus is of one complete type', () => {
  for (const { methods, properties, signals } of dbusInterfaces) {
    const types = [
      ...Object.values(methods).flatMap((method) => [...Object.values<string>(method.in), ...Object.values<string>(method.out)]),
      ...Object.values(properties).map(({ type }) => type),
      ...Object.values(signals).flatMap((signal) => Object.values<string>(signal.arguments)),
    ];
    for (const type of types) assert.ok(isSingleType(type), type);
  }
});

for (const declaration of dbusInterfaces) {
  test(`introspection data of ${declaration.name}`, () => {
    const xml = describeNode([{ declaration, methods: new Map(), properties: new Map() }], ['a_2db']);
    matchesGolden(`dbus/${declaration.name}.xml`, xml);
  });
}

for (const declaration of varlinkInterfaces) {
  test(`description of ${declaration.name}`, () => {
    const description = describe(declaration);
    const text = printDescription(description);
    matchesGolden(`varlink/${declaration.name}.varlink`, text);
    assert.deepEqual(parseDescription(text), description);
  });
}

test('no file is left over of an interface that is no more', () => {
  assert.deepEqual(readdirSync(path.join(golden, 'dbus')).sort(), dbusInterfaces.map(({ name }) => `${name}.xml`).sort());
  assert.deepEqual(readdirSync(path.join(golden, 'varlink')).sort(), varlinkInterfaces.map(({ name }) => `${name}.varlink`).sort());
});
