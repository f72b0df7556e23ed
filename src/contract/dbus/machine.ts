import { anyone, login, openPty, polkit, shell } from '../authorization.js';
import { dbusInterface, method, property } from './declare.js';

/** The interface of /org/freedesktop/machine1/machine/NAME. Source: org.freedesktop.machine1(5). */
export const machineInterface = dbusInterface('org.freedesktop.machine1.Machine', {
  properties: {
    Name: property('s', 'const'),
    Id: property('ay', 'const'),
    Timestamp: property('t', 'const'),
    TimestampMonotonic: property('t', 'const'),
    Service: property('s', 'const'),
    Unit: property('s', 'const'),
    Scope: property('s', 'const', { hidden: true }), // what Unit was called first
    Subgroup: property('s', 'const'),
    Leader: property('u', 'const'),
    LeaderPIDFDId: property('t', 'const'),
    Supervisor: property('u', 'const'),
    SupervisorPIDFDId: property('t', 'const'),
    Class: property('s', 'const'),
    RootDirectory: property('s', 'const'),
    NetworkInterfaces: property('ai', 'const'),
    VSockCID: property('u', 'const'),
    SSHAddress: property('s', 'const'),
    SSHPrivateKeyPath: property('s', 'const'),
    State: property('s', 'false'),
    UID: property('u', 'const'),
  },
  methods: {
    Terminate: method({ authorization: polkit('manage-machines', { subject: 'machine', verb: 'terminate', owner: true }) }),
    Kill: method({
      in: { whom: 's', signal: 'i' },
      authorization: polkit('manage-machines', { subject: 'machine', verb: 'kill', owner: true }),
    }),
    GetAddresses: method({ out: { addresses: 'a(iay)' }, authorization: anyone }),
    GetSSHInfo: method({ out: { ssh_address: 's', ssh_private_key_path: 's' }, authorization: anyone }),
    GetOSRelease: method({ out: { fields: 'a{ss}' }, authorization: polkit('inspect-machines', { subject: 'machine', verb: 'get_os_release' }) }),
    GetUIDShift: method({ out: { shift: 'u' }, authorization: anyone }),
    OpenPTY: method({ out: { pty: 'h', pty_path: 's' }, authorization: openPty }),
    OpenLogin: method({ out: { pty: 'h', pty_path: 's' }, authorization: login }),
    OpenShell: method({
      in: { user: 's', path: 's', args: 'as', environment: 'as' },
      out: { pty: 'h', pty_path: 's' },
      authorization: shell,
    }),
    BindMount: method({
      in: { source: 's', destination: 's', read_only: 'b', mkdir: 'b' },
      authorization: polkit('manage-machines', { subject: 'machine', verb: 'bind' }),
    }),
    CopyFrom: method({ in: { source: 's', destination: 's' }, authorization: polkit('manage-machines', { subject: 'machine', verb: 'copy' }) }),
    CopyTo: method({ in: { source: 's', destination: 's' }, authorization: polkit('manage-machines', { subject: 'machine', verb: 'copy' }) }),
    CopyFromWithFlags: method({
      in: { source: 's', destination: 's', flags: 't' },
      authorization: polkit('manage-machines', { subject: 'machine', verb: 'copy' }),
    }),
    CopyToWithFlags: method({
      in: { source: 's', destination: 's', flags: 't' },
      authorization: polkit('manage-machines', { subject: 'machine', verb: 'copy' }),
    }),
    OpenRootDirectory: method({
      out: { fd: 'h' },
      authorization: polkit('manage-machines', { subject: 'machine', verb: 'open_root_directory' }),
    }),
  },
  signals: {},
});
