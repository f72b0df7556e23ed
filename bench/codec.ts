/** The codecs alone: the messages that the daemon reads and writes most, in microseconds per message. */
import { MessageReader } from '../src/wire/dbus/message-reader.js';
import { encodeMessage, type Message } from '../src/wire/dbus/message.js';
import { call, parseCall, reply } from '../src/wire/varlink/call.js';
import { encodeFrame, FrameReader } from '../src/wire/varlink/framing.js';
import { median } from './statistics.js';

const rounds = 9;
const millisecondsPerRound = 60;
const machineNumbers = Array.from({ length: 1000 }, (_, number) => number);

const getMachine: Message = {
  messageType: 'call', serial: 1, destination: 'org.freedesktop.machine1', path: '/org/freedesktop/machine1',
  interface: 'org.freedesktop.machine1.Manager', member: 'GetMachine', signature: 's', body: ['fedora'],
};
const listMachines: Message = {
  messageType: 'return', serial: 2, replySerial: 1, destination: ':1.7', signature: 'a(ssso)',
  body: [machineNumbers.map((number) => [`m${number}`, 'container', 'systemd-nspawn', `/org/freedesktop/machine1/machine/m${number}`])],
};
const described = {
  name: 'fedora', class: 'container', service: 'systemd-nspawn', rootDirectory: '/var/lib/machines/fedora', unit: 'machine-fedora.scope',
  leader: { pid: 4711, pidfdId: 123456, bootId: '0123456789abcdef0123456789abcdef' },
  timestamp: { realtime: 1700000000000000, monotonic: 1000000 }, UID: 0,
};

const getMachineBytes = encodeMessage(getMachine).bytes;
const listMachinesBytes = encodeMessage(listMachines).bytes;
const listFrame = encodeFrame(call('io.systemd.Machine.List', { name: 'fedora' }));

measure('D-Bus: write a call of GetMachine', () => encodeMessage(getMachine));
measure('D-Bus: read a call of GetMachine', () => readMessage(getMachineBytes));
measure('D-Bus: write an answer of ListMachines, 1000 machines', () => encodeMessage(listMachines));
measure('D-Bus: read an answer of ListMachines, 1000 machines', () => readMessage(listMachinesBytes));
measure('Varlink: read a call of List', () => readCall(listFrame));
measure('Varlink: write one reply of List', () => encodeFrame(reply(described, { continues: true })));

function readMessage(bytes: Uint8Array): unknown {
  const reader = new MessageReader();
  reader.push(bytes);
  return reader.next()?.body();
}

function readCall(bytes: Uint8Array): unknown {
  const reader = new FrameReader();
  reader.push(bytes);
  return parseCall(reader.next()?.text ?? '');
}

function measure(title: string, work: () => unknown): void {
  const results = Array.from({ length: rounds }, () => {
    let calls = 0;
    const begin = performance.now();
    for (; performance.now() < begin + millisecondsPerRound; calls++) work();
    return ((performance.now() - begin) * 1000) / calls;
  });
  console.log(`${title.padEnd(56)} ${(median(results) ?? 0).toFixed(2).padStart(9)} µs`);
}
