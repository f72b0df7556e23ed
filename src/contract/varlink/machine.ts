import { isRegularVsockCid } from '../../domain/registration.js';
import { isMachineName } from '../../domain/name.js';
import {
  arrayOf,
  boolean,
  enumeration,
  error,
  integer,
  method,
  nullable,
  refined,
  required,
  string,
  structure,
  varlinkInterface,
} from '../../wire/varlink/schema.js';
import { anyone, login, openPty, polkit } from '../authorization.js';
import {
  absolutePath,
  ignored,
  interactiveField,
  machineId,
  namedProcess,
  normalizedPath,
  overridingEnvironment,
  processId,
  referenceFields,
  refused,
  signalNumber,
  timestamp,
  userId,
  userName,
} from './types.js';

const machineClass = enumeration('MachineClass', 'What kind of machine it is.', {
  container: 'Shares the kernel of the host.',
  vm: 'Has a kernel of its own on virtual hardware.',
  host: 'The host itself, which nobody can register.',
});

const killWhom = enumeration('KillWhom', 'Whom a signal is for.', {
  leader: 'The leader alone.',
  supervisor: 'The process that registered the machine.',
  all: 'Every process of the machine.',
});

const acquireMetadata = enumeration('AcquireMetadata', 'Whether to look into the machines that are listed.', {
  no: 'Only what the registry knows.',
  yes: 'What is found inside too; what cannot be found is an error.',
  graceful: 'What is found inside too; what cannot be found is left out.',
});

const openMode = enumeration('MachineOpenMode', 'What runs on the other end of a terminal.', {
  tty: 'Nothing: the caller does that itself.',
  login: 'A login prompt.',
  shell: 'A program, as a user.',
});

const address = structure('Address', 'A network address.', {
  ifindex: nullable(integer(), "The interface that it is valid on, by the machine's own index."),
  family: required(integer(), 'AF_INET (2) or AF_INET6 (10).'),
  address: required(arrayOf(integer()), 'Its 4 or 16 bytes, in network order.'),
});

/** PID 1 is the host's: no machine's leader. */
const leaderPid = integer({ minimum: 2, maximum: 0x7fffffff, text: true });
const interfaceIndex = integer({ minimum: 1, maximum: 0x7fffffff });
const vsockCid = refined(integer({ text: true }), isRegularVsockCid);
const registeredName = refined(string, isMachineName);

const owned = (verb: string) => ({ authorization: polkit('manage-machines', { subject: 'name', verb, owner: true }) });
const managed = (verb: string) => ({ authorization: polkit('manage-machines', { subject: 'name', verb }) });
const free = { authorization: anyone };

export const machineVarlink = varlinkInterface({
  name: 'io.systemd.Machine',
  documentation: 'Machines: virtual machines and OS containers that run on this host.',
  types: [machineClass, killWhom, acquireMetadata, openMode, processId, timestamp, address],
  methods: {
    Register: method({
      documentation: 'Adds a machine to the registry. Who calls is its supervisor, and its owner.',
      input: {
        name: required(registeredName, 'Its name, which no other machine has.'),
        id: nullable(machineId, 'Its machine id, 32 hexadecimal digits.'),
        service: nullable(string, 'What software registers it.'),
        class: required(machineClass, '', { check: (value) => value !== 'host' }),
        leader: nullable(leaderPid, 'The PID of its leader; if neither this nor leaderProcessId is given, the caller is it.', {
          acceptsNull: true,
        }),
        leaderProcessId: nullable(namedProcess, 'Its leader, safe from PID reuse. Has to agree with leader if both are given.'),
        supervisor: nullable(ignored(integer()), 'Ignored: the supervisor is whoever calls.', { acceptsNull: true }),
        supervisorProcessId: nullable(ignored(processId), 'Ignored: the supervisor is whoever calls.', { acceptsNull: true }),
        rootDirectory: nullable(normalizedPath, 'Where its root directory is on the host.'),
        ifIndices: nullable(arrayOf(interfaceIndex), 'The host\'s network interfaces that lead to it.'),
        vSockCid: nullable(vsockCid, 'Its AF_VSOCK CID.'),
        sshAddress: nullable(string, 'Where ssh reaches it.'),
        sshPrivateKeyPath: nullable(absolutePath, 'The private key with which ssh reaches it.'),
        controlAddress: nullable(normalizedPath, 'The Varlink address of who controls it, an absolute path.'),
        allocateUnit: nullable(boolean, 'Whether to make a scope unit for it and move its leader there; false if absent.'),
        ...interactiveField,
      },
      output: {},
      // allocateUnit needs create-machine instead: see `createMachine` below
      extra: { authorization: polkit('register-machine', { subject: 'name' }) },
    }),
    Unregister: method({
      documentation: 'Forgets a machine; its processes go on.',
      input: referenceFields,
      output: {},
      extra: owned('unregister'),
    }),
    Terminate: method({
      documentation: 'Ends a machine with all of its processes.',
      input: referenceFields,
      output: {},
      extra: owned('terminate'),
    }),
    Kill: method({
      documentation: 'Sends a signal to processes of a machine.',
      input: {
        ...referenceFields,
        whom: nullable(killWhom, 'Who gets it; all, if absent.'),
        signal: required(signalNumber, 'The number of the signal.'),
      },
      output: {},
      extra: owned('kill'),
    }),
    List: method({
      documentation: "Describes a machine, or with 'more' and neither name nor pid all of them.",
      input: { ...referenceFields, acquireMetadata: nullable(acquireMetadata, 'Asking for it needs authorization.') },
      output: {
        name: required(string, 'Its name.'),
        id: nullable(string, 'Its machine id, 32 hexadecimal digits.'),
        service: nullable(string, 'What software registered it.'),
        class: required(machineClass, 'What kind of machine it is.'),
        leader: nullable(processId, 'Its leader.'),
        supervisor: nullable(processId, 'The process that registered it.'),
        rootDirectory: nullable(string, 'Where its root directory is on the host.'),
        unit: nullable(string, 'The unit that it runs in.'),
        timestamp: nullable(timestamp, 'When it was registered.'),
        vSockCid: nullable(integer(), 'Its AF_VSOCK CID.'),
        sshAddress: nullable(string, 'Where ssh reaches it.'),
        sshPrivateKeyPath: nullable(string, 'The private key with which ssh reaches it.'),
        controlAddress: nullable(normalizedPath, 'The Varlink address of who controls it, an absolute path.'),
        addresses: nullable(arrayOf(address), 'Its network addresses.'),
        OSRelease: nullable(arrayOf(string), 'What its os-release(5) says, as KEY=value.'),
        UIDShift: nullable(integer(), "The host's id of its root user."),
        subgroup: nullable(string, 'The cgroup below its unit that holds it.'),
        UID: nullable(integer(), 'Who registered it.'),
      },
      more: 'supports',
      extra: { authorization: polkit('inspect-machines', { subject: 'name' }) },
    }),
    Open: method({
      documentation: 'Opens a terminal in a machine.',
      input: {
        ...referenceFields,
        mode: required(openMode),
        user: nullable(userName, 'For mode shell: who runs it, by name; root, if absent.'),
        path: nullable(absolutePath, 'For mode shell: the program.'),
        args: nullable(arrayOf(string), 'For mode shell: its arguments, argv[0] first.'),
        environment: nullable(overridingEnvironment, 'For mode shell: its environment, as KEY=value.'),
      },
      output: {
        ptyFileDescriptor: required(integer(), 'The terminal, an index into the descriptors that come along.'),
        ptyPath: required(string, 'Its path in the machine.'),
      },
      // each mode has an authorization of its own: see `openAuthorizations` below
      extra: { authorization: openPty },
    }),
    MapFrom: method({
      documentation: "The host's ids of a container's user and group.",
      input: {
        ...referenceFields,
        allowInteractiveAuthentication: nullable(refused(boolean), 'Nobody is asked for a password.'),
        uid: nullable(userId, 'A user of the container.'),
        gid: nullable(userId, 'A group of the container.'),
      },
      output: { uid: nullable(integer(), 'That user on the host.'), gid: nullable(integer(), 'That group on the host.') },
      extra: free,
    }),
    MapTo: method({
      documentation: 'The container that an id of the host belongs to.',
      input: { uid: nullable(userId, 'A user of the host.'), gid: nullable(userId, 'A group of the host.') },
      output: {
        uid: nullable(integer(), 'That user in the container.'),
        gid: nullable(integer(), 'That group in the container.'),
        machineName: nullable(string, 'The container.'),
      },
      extra: free,
    }),
    BindMount: method({
      documentation: 'Makes a file or directory of the host appear in a container.',
      input: {
        ...referenceFields,
        source: required(normalizedPath, 'Its absolute path on the host.'),
        destination: nullable(normalizedPath, 'Its absolute path in the container; the same, if absent.'),
        readOnly: nullable(boolean, 'Whether the container may only read it.'),
        mkdir: nullable(boolean, 'Whether to make the mount point first if there is none.'),
      },
      output: {},
      extra: managed('bind'),
    }),
    CopyFrom: method({
      documentation: 'Copies files from a container to the host.',
      input: {
        ...referenceFields,
        source: required(absolutePath, 'An absolute path in the container.'),
        destination: nullable(absolutePath, 'An absolute path on the host; the same, if absent.'),
        replace: nullable(boolean, 'Whether an existing destination is replaced.'),
      },
      output: {},
      extra: managed('copy'),
    }),
    CopyTo: method({
      documentation: 'Copies files from the host to a container.',
      input: {
        ...referenceFields,
        source: required(absolutePath, 'An absolute path on the host.'),
        destination: nullable(absolutePath, 'An absolute path in the container; the same, if absent.'),
        replace: nullable(boolean, 'Whether an existing destination is replaced.'),
      },
      output: {},
      extra: managed('copy'),
    }),
    OpenRootDirectory: method({
      documentation: 'Opens the root directory of a machine.',
      input: referenceFields,
      output: { fileDescriptor: required(integer(), 'An index into the descriptors that come along.') },
      extra: managed('open_root_directory'),
    }),
  },
  errors: {
    NoSuchMachine: error('No such machine runs.'),
    MachineExists: error('A machine has that name already.'),
    NoPrivateNetworking: error('The machine shares the network of the host.'),
    NoOSReleaseInformation: error('The machine has no os-release file.'),
    NoUIDShift: error('The ids of the machine are mapped in more than one piece.'),
    NotAvailable: error('This cannot be had of such a machine.'),
    NotSupported: error('This cannot be done to such a machine.'),
    NoIPC: error('Nothing in the machine answers.'),
    NoSuchUser: error('There is no such user.'),
    NoSuchGroup: error('There is no such group.'),
    UserInHostRange: error('It is a user of the host itself.'),
    GroupInHostRange: error('It is a group of the host itself.'),
  },
});

/** What Register needs with allocateUnit. */
export const createMachine = polkit('create-machine', { subject: 'name' });

/** What the modes of Open need. */
export const openAuthorizations = {
  tty: openPty,
  login,
  shell: polkit('shell', { subject: 'machine', verb: 'shell', owner: true, ownHostAction: true }),
} as const;
