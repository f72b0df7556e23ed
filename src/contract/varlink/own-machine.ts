import {
  enumeration,
  error,
  integer,
  method,
  nullable,
  required,
  string,
  structure,
  varlinkInterface,
} from '../../wire/varlink/schema.js';
import { anyone, polkit } from '../authorization.js';
import { normalizedPath, processId, referenceFields, timestamp } from './types.js';

const machineClass = enumeration('MachineClass', 'What kind of machine it is.', {
  container: 'Shares the kernel of the host.',
  vm: 'Has a kernel of its own on virtual hardware.',
  host: 'The host itself.',
});

const machineState = enumeration('MachineState', 'Where a machine is in its life.', {
  opening: 'Its scope is being made.',
  running: 'It runs.',
  closing: 'It is being ended.',
});

const machineEvent = enumeration('MachineEvent', 'What is told of a machine.', {
  present: 'It was there before.',
  ready: 'All that were there have been told; what follows has just happened. Comes without a machine.',
  added: 'It was registered.',
  changed: 'Its state is another.',
  removed: 'It is no more: this is what was last known of it.',
});

const machine = structure('Machine', 'What the registry knows of a machine.', {
  name: required(string, 'Its name.'),
  id: nullable(string, 'Its machine id, 32 hexadecimal digits.'),
  class: required(machineClass, 'What kind of machine it is.'),
  state: required(machineState, 'Where it is in its life.'),
  service: nullable(string, 'What software registered it.'),
  leader: nullable(processId, 'Its leader.'),
  supervisor: nullable(processId, 'The process that registered it.'),
  rootDirectory: nullable(string, 'Where its root directory is on the host.'),
  unit: nullable(string, 'The unit that it runs in.'),
  subgroup: nullable(string, 'The cgroup below its unit that holds it.'),
  timestamp: nullable(timestamp, 'When it was registered.'),
  vSockCid: nullable(integer(), 'Its AF_VSOCK CID.'),
  sshAddress: nullable(string, 'Where ssh reaches it.'),
  sshPrivateKeyPath: nullable(string, 'The private key with which ssh reaches it.'),
  controlAddress: nullable(string, 'The Varlink address of who controls it.'),
  UID: nullable(integer(), 'Who registered it.'),
});

/** What this project adds to io.systemd.Machine, on a socket of its own. */
export const ownMachineVarlink = varlinkInterface({
  name: 'io.machined.Machine',
  documentation: 'Machines: what io.systemd.Machine has no method for.',
  types: [machineClass, machineState, machineEvent, machine, processId, timestamp],
  methods: {
    Unbind: method({
      documentation: 'Takes away a mount that BindMount has made in a container.',
      input: {
        ...referenceFields,
        destination: required(normalizedPath, 'Where it is mounted, an absolute path in the container.'),
      },
      output: {},
      extra: { authorization: polkit('manage-machines', { subject: 'name', verb: 'unbind' }) },
    }),
    Subscribe: method({
      documentation: 'Tells which machines there are, and then, until the caller hangs up, which come, change and go.',
      input: {},
      output: { event: required(machineEvent, 'What is told.'), machine: nullable(machine, 'Of which machine.') },
      more: 'requires',
      extra: { authorization: anyone },
    }),
  },
  errors: {
    NoSuchMachine: error('No such machine runs.'),
    NotAvailable: error('This cannot be had of such a machine.'),
    NotSupported: error('This cannot be done to such a machine.'),
    NoSuchUser: error('The machine has no such user.'),
    TooManyOperations: error('Too much is under way already; try again later.'),
  },
});
