import {
  arrayOf,
  enumeration,
  error,
  integer,
  method,
  nullable,
  required,
  string,
  structure,
  unsigned64,
  varlinkInterface,
} from '../../wire/varlink/schema.js';
import { anyone, polkit, shell } from '../authorization.js';
import {
  absolutePath, environmentList, normalizedPath, processId, referenceFields, signalNumber, timestamp, userNameOrId,
} from './types.js';

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

const execResult = enumeration('ExecResult', 'How a command ended.', {
  exited: 'By itself, with a status.',
  signaled: 'By a signal.',
  timeout: 'It was ended when its time was over.',
  canceled: 'It was ended because nobody wants it any more.',
});

const descriptorIndex = integer({ minimum: 0, maximum: 252 });
const executionId = integer({ minimum: 1 });

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
  types: [machineClass, machineState, machineEvent, machine, execResult, processId, timestamp],
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
    Exec: method({
      documentation: [
        'Runs a command in a machine, as one of its users, without a terminal. With \'more\' there is a first reply as soon as it',
        'runs, with id and pid; the last or only reply comes when it has ended. When the caller hangs up, it is ended with all of',
        'its processes.',
      ].join('\n'),
      input: {
        ...referenceFields,
        user: nullable(userNameOrId, 'Who runs it; root, if absent.'),
        command: required(arrayOf(string), 'The program, an absolute path or a name to be found in PATH, and its arguments.'),
        environment: nullable(environmentList, 'Variables beside HOME, USER, LOGNAME, SHELL and PATH, as KEY=value.'),
        workingDirectory: nullable(absolutePath, "Where it runs; the user's home directory, if absent."),
        timeLimitUSec: nullable(unsigned64({ text: true }), 'After so many µs it is ended, with all of its processes.', { acceptsNull: true }),
        inputFileDescriptor: nullable(descriptorIndex, 'Its standard input, an index into the descriptors that come along; /dev/null, if absent.'),
        outputFileDescriptor: nullable(descriptorIndex, 'Its standard output, likewise.'),
        errorFileDescriptor: nullable(descriptorIndex, 'Its standard error, likewise.'),
      },
      output: {
        id: nullable(integer(), 'By this number SignalExec knows it.'),
        pid: nullable(integer(), 'Its PID on the host.'),
        result: nullable(execResult, 'How it ended.'),
        status: nullable(integer(), 'Its exit status, if it exited.'),
        signal: nullable(integer(), 'The signal that ended it, if one did.'),
      },
      more: 'supports',
      extra: { authorization: shell },
    }),
    SignalExec: method({
      documentation: 'Sends a signal to a command that the caller has started with Exec; root, to any.',
      input: { id: required(executionId, 'Which one.'), signal: required(signalNumber, 'The number of the signal.') },
      output: {},
      extra: { authorization: anyone },
    }),
    OpenShell: method({
      documentation: 'Opens a terminal in a machine with a program on it that enters the machine, also where that has no service manager.',
      input: {
        ...referenceFields,
        user: nullable(userNameOrId, 'Who runs it; root, if absent.'),
        path: nullable(absolutePath, "The program; the user's shell, if absent."),
        args: nullable(arrayOf(string), 'Its arguments, argv[0] first.'),
        environment: nullable(environmentList, 'Variables, as KEY=value.'),
      },
      output: {
        ptyFileDescriptor: required(integer(), 'The terminal, an index into the descriptors that come along.'),
        ptyPath: required(string, 'Its path in the machine.'),
      },
      extra: { authorization: shell },
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
    NoSuchExecution: error('No such command runs.'),
    TooManyOperations: error('Too much is under way already; try again later.'),
  },
});
