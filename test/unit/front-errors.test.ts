// What callers are told of failures: names that programs match on. From org.freedesktop.machine1(5), the interfaces of
// systemd 262, and what its daemon was seen to answer.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure, invalidArgument, systemFailure, type FailureKind } from '../../src/domain/failure.js';
import { errorReply, printable } from '../../src/front/dbus/errors.js';
import { varlinkError } from '../../src/front/varlink/errors.js';
import { errnoNameOf, errnos } from '../../src/host/kernel/system-error.js';
import { addressRecord } from '../../src/wire/dns-record.js';

const standard = 'org.freedesktop.DBus.Error.';
const machine1 = 'org.freedesktop.machine1.';
const varlink = 'io.systemd.Machine.';

const names: Partial<Record<FailureKind, readonly [dbus: string, varlink: string]>> = {
  'no-such-machine': [`${machine1}NoSuchMachine`, `${varlink}NoSuchMachine`],
  'no-machine-for-pid': [`${machine1}NoMachineForPID`, `${varlink}NoSuchMachine`],
  'machine-exists': [`${machine1}MachineExists`, `${varlink}MachineExists`],
  'no-such-image': [`${machine1}NoSuchImage`, 'io.systemd.MachineImage.NoSuchImage'],
  'no-such-user': [`${machine1}NoSuchUser`, `${varlink}NoSuchUser`],
  'no-such-user-mapping': [`${machine1}NoSuchUserMapping`, `${varlink}NoSuchUser`],
  'no-such-group-mapping': [`${machine1}NoSuchGroupMapping`, `${varlink}NoSuchGroup`],
  'group-not-mapped': [`${machine1}NoSuchUserMapping`, `${varlink}NoSuchGroup`],
  'user-in-host-range': [`${machine1}NoSuchUserMapping`, `${varlink}UserInHostRange`],
  'group-in-host-range': [`${machine1}NoSuchGroupMapping`, `${varlink}GroupInHostRange`],
  'no-private-networking': [`${machine1}NoPrivateNetworking`, `${varlink}NoPrivateNetworking`],
  'no-os-release': [`${standard}FileNotFound`, `${varlink}NoOSReleaseInformation`],
  'no-uid-shift': [`${machine1}NoUIDShift`, `${varlink}NoUIDShift`],
  'no-ipc': [`${standard}NotSupported`, `${varlink}NoIPC`],
  'not-available': [`${standard}NotSupported`, `${varlink}NotAvailable`],
  'not-supported': [`${standard}NotSupported`, `${varlink}NotSupported`],
  'not-a-container': [`${standard}InvalidArgs`, `${varlink}NotSupported`],
  'access-denied': [`${standard}AccessDenied`, 'org.varlink.service.PermissionDenied'],
  'interactive-authentication-required': [
    `${standard}InteractiveAuthorizationRequired`, 'io.systemd.InteractiveAuthenticationRequired',
  ],
  'too-many-operations': [`${standard}LimitsExceeded`, 'io.systemd.MachineImage.TooManyOperations'],
  'no-such-operation': ['io.machined.NoSuchOperation', 'io.machined.Operations.NoSuchOperation'],
};

const errnoNumber = (name: string) => errnos[name] ?? assert.fail(name);

for (const [kind, [dbusName, varlinkName]] of Object.entries(names)) {
  test(`'${kind}'`, () => {
    const failure = new Failure(kind as FailureKind, 'the message');
    assert.deepEqual(errorReply(failure), { name: dbusName, message: 'the message' });
    assert.deepEqual(varlinkError(failure, errnoNumber), { error: varlinkName, parameters: {} });
  });
}

test('wrong arguments', () => {
  const failure = invalidArgument('signal', 'Invalid signal 65');
  assert.deepEqual(errorReply(failure), { name: `${standard}InvalidArgs`, message: 'Invalid signal 65' });
  const expected = { error: 'org.varlink.service.InvalidParameter', parameters: { parameter: 'signal' } };
  assert.deepEqual(varlinkError(failure, errnoNumber), expected);
});

for (const [errno, dbusName, number] of [
  ['ESRCH', `${standard}UnixProcessIdUnknown`, 3],
  ['EEXIST', `${standard}FileExists`, 17],
  ['ENOENT', `${standard}FileNotFound`, 2],
  ['EPERM', `${standard}AccessDenied`, 1],
  ['EACCES', `${standard}AccessDenied`, 13],
  ['EINVAL', `${standard}InvalidArgs`, 22],
  ['EOPNOTSUPP', `${standard}NotSupported`, 95],
  ['ETIMEDOUT', `${standard}Timeout`, 110],
  ['ENOMEM', `${standard}NoMemory`, 12],
  ['EIO', `${standard}IOError`, 5],
  ['EADDRINUSE', `${standard}AddressInUse`, 98],
  ['ENXIO', 'System.Error.ENXIO', 6],
  ['ENOMSG', 'System.Error.ENOMSG', 42],
  ['ECANCELED', 'System.Error.ECANCELED', 125],
] as const) {
  test(`the operating system's ${errno}`, () => {
    const failure = systemFailure(errno, 'text');
    assert.deepEqual(errorReply(failure), { name: dbusName, message: 'text' });
    const parameters = { origin: 'linux', errno: number, errnoName: errno };
    assert.deepEqual(varlinkError(failure, errnoNumber), { error: 'io.systemd.System', parameters });
  });
}

test("another service's error is passed on on the bus", () => {
  const failure = new Failure('system', 'Unit x is masked', { busError: 'org.freedesktop.systemd1.UnitMasked', errno: 'ERFKILL' });
  assert.equal(errorReply(failure).name, 'org.freedesktop.systemd1.UnitMasked');
  const parameters = { origin: 'linux', errno: 132, errnoName: 'ERFKILL' };
  assert.deepEqual(varlinkError(failure, errnoNumber), { error: 'io.systemd.System', parameters });
});

test('address records are as RFC 1035 has them', () => {
  const record = addressRecord('one.two', 28, Uint8Array.from({ length: 16 }, (_, index) => index));
  const name = [3, ...Buffer.from('one'), 3, ...Buffer.from('two'), 0];
  const header = [0, 28, 0, 1, 0, 0, 0, 0, 0, 16];
  assert.deepEqual([...record], [...name, ...header, ...Array(16).keys()]);
});

test('the system\'s errors have their names, also those that Node does not know', () => {
  const ofNode = (code: string, errno: number) => Object.assign(new Error(), { syscall: 'write', code, errno });
  assert.equal(errnoNameOf(ofNode('ENOENT', -2)), 'ENOENT');
  assert.equal(errnoNameOf(ofNode('UNKNOWN', -122)), 'EDQUOT');
  assert.equal(errnoNameOf(ofNode('UNKNOWN', -9999)), 'UNKNOWN');
  assert.equal(errnoNameOf(new Error('a bug')), undefined);
});

test('messages for the bus hold nothing that moves a cursor', () => {
  assert.equal(printable("No machine 'a\u001b[2J\r\u007f\u009b' known"), "No machine 'a\\x1b[2J\\x0d\\x7f\\xc2\\x9b' known");
  assert.equal(printable('tab\tand\nnewline, ü and \u200b'), 'tab\tand\nnewline, ü and \u200b');
});
