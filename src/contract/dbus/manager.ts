import { anyone, login, openPty, polkit, shell } from '../authorization.js';
import { dbusInterface, method, property, signal } from './declare.js';

/** The interface of /org/freedesktop/machine1. Source: org.freedesktop.machine1(5). */
export const managerInterface = dbusInterface('org.freedesktop.machine1.Manager', {
  properties: {
    PoolPath: property('s', 'false'),
    PoolUsage: property('t', 'false'),
    PoolLimit: property('t', 'false'),
  },
  methods: {
    GetMachine: method({ in: { name: 's' }, out: { machine: 'o' }, authorization: anyone }),
    GetImage: method({ in: { name: 's' }, out: { image: 'o' }, authorization: anyone }),
    GetMachineByPID: method({ in: { pid: 'u' }, out: { machine: 'o' }, authorization: anyone }),
    ListMachines: method({ out: { machines: 'a(ssso)' }, authorization: anyone }),
    ListImages: method({ out: { images: 'a(ssbttto)' }, authorization: anyone }),
    CreateMachine: method({
      in: {
        name: 's', id: 'ay', service: 's', class: 's', leader: 'u', root_directory: 's', scope_properties: 'a(sv)',
      },
      out: { path: 'o' },
      authorization: polkit('create-machine', { subject: 'name' }),
    }),
    CreateMachineWithNetwork: method({
      in: {
        name: 's', id: 'ay', service: 's', class: 's', leader: 'u', root_directory: 's', ifindices: 'ai',
        scope_properties: 'a(sv)',
      },
      out: { path: 'o' },
      authorization: polkit('create-machine', { subject: 'name' }),
    }),
    CreateMachineEx: method({
      in: { name: 's', properties: 'a(sv)', scope_properties: 'a(sv)' },
      out: { path: 'o' },
      authorization: polkit('create-machine', { subject: 'name' }),
    }),
    RegisterMachine: method({
      in: { name: 's', id: 'ay', service: 's', class: 's', leader: 'u', root_directory: 's' },
      out: { path: 'o' },
      authorization: polkit('register-machine', { subject: 'name' }),
    }),
    RegisterMachineWithNetwork: method({
      in: { name: 's', id: 'ay', service: 's', class: 's', leader: 'u', root_directory: 's', ifindices: 'ai' },
      out: { path: 'o' },
      authorization: polkit('register-machine', { subject: 'name' }),
    }),
    RegisterMachineEx: method({
      in: { name: 's', properties: 'a(sv)' },
      out: { path: 'o' },
      authorization: polkit('register-machine', { subject: 'name' }),
    }),
    UnregisterMachine: method({ in: { name: 's' }, authorization: polkit('manage-machines', { subject: 'machine', verb: 'unregister', owner: true }) }),
    TerminateMachine: method({ in: { id: 's' }, authorization: polkit('manage-machines', { subject: 'machine', verb: 'terminate', owner: true }) }),
    KillMachine: method({
      in: { name: 's', whom: 's', signal: 'i' },
      authorization: polkit('manage-machines', { subject: 'machine', verb: 'kill', owner: true }),
    }),
    GetMachineAddresses: method({ in: { name: 's' }, out: { addresses: 'a(iay)' }, authorization: anyone }),
    GetMachineSSHInfo: method({
      in: { name: 's' },
      out: { ssh_address: 's', ssh_private_key_path: 's' },
      authorization: anyone,
    }),
    GetMachineOSRelease: method({
      in: { name: 's' },
      out: { fields: 'a{ss}' },
      authorization: polkit('inspect-machines', { subject: 'machine', verb: 'get_os_release' }),
    }),
    OpenMachinePTY: method({ in: { name: 's' }, out: { pty: 'h', pty_path: 's' }, authorization: openPty }),
    OpenMachineLogin: method({ in: { name: 's' }, out: { pty: 'h', pty_path: 's' }, authorization: login }),
    OpenMachineShell: method({
      in: { name: 's', user: 's', path: 's', args: 'as', environment: 'as' },
      out: { pty: 'h', pty_path: 's' },
      authorization: shell,
    }),
    BindMountMachine: method({
      in: { name: 's', source: 's', destination: 's', read_only: 'b', mkdir: 'b' },
      authorization: polkit('manage-machines', { subject: 'machine', verb: 'bind' }),
    }),
    CopyFromMachine: method({
      in: { name: 's', source: 's', destination: 's' },
      authorization: polkit('manage-machines', { subject: 'machine', verb: 'copy' }),
    }),
    CopyToMachine: method({
      in: { name: 's', source: 's', destination: 's' },
      authorization: polkit('manage-machines', { subject: 'machine', verb: 'copy' }),
    }),
    CopyFromMachineWithFlags: method({
      in: { name: 's', source: 's', destination: 's', flags: 't' },
      authorization: polkit('manage-machines', { subject: 'machine', verb: 'copy' }),
    }),
    CopyToMachineWithFlags: method({
      in: { name: 's', source: 's', destination: 's', flags: 't' },
      authorization: polkit('manage-machines', { subject: 'machine', verb: 'copy' }),
    }),
    OpenMachineRootDirectory: method({
      in: { name: 's' },
      out: { fd: 'h' },
      authorization: polkit('manage-machines', { subject: 'machine', verb: 'open_root_directory' }),
    }),
    GetMachineUIDShift: method({ in: { name: 's' }, out: { shift: 'u' }, authorization: anyone }),
    RemoveImage: method({ in: { name: 's' }, authorization: polkit('manage-images', { subject: 'image', verb: 'remove' }) }),
    RenameImage: method({ in: { name: 's', new_name: 's' }, authorization: polkit('manage-images', { subject: 'image', verb: 'rename' }) }),
    CloneImage: method({
      in: { name: 's', new_name: 's', read_only: 'b' },
      authorization: polkit('manage-images', { subject: 'image', verb: 'clone' }),
    }),
    MarkImageReadOnly: method({
      in: { name: 's', read_only: 'b' },
      authorization: polkit('manage-images', { subject: 'image', verb: 'mark_read_only' }),
    }),
    GetImageHostname: method({ in: { name: 's' }, out: { hostname: 's' }, authorization: anyone }),
    GetImageMachineID: method({ in: { name: 's' }, out: { id: 'ay' }, authorization: anyone }),
    GetImageMachineInfo: method({ in: { name: 's' }, out: { machine_info: 'a{ss}' }, authorization: anyone }),
    GetImageOSRelease: method({ in: { name: 's' }, out: { os_release: 'a{ss}' }, authorization: anyone }),
    SetPoolLimit: method({ in: { size: 't' }, authorization: polkit('manage-machines', { verb: 'set_pool_limit' }) }),
    SetImageLimit: method({ in: { name: 's', size: 't' }, authorization: polkit('manage-images', { subject: 'machine', verb: 'set_limit' }) }),
    CleanPool: method({ in: { mode: 's' }, out: { images: 'a(st)' }, authorization: polkit('manage-machines', { verb: 'clean_pool' }) }),
    MapFromMachineUser: method({ in: { name: 's', uid_inner: 'u' }, out: { uid_outer: 'u' }, authorization: anyone }),
    MapToMachineUser: method({
      in: { uid_outer: 'u' },
      out: { machine_name: 's', machine_path: 'o', uid_inner: 'u' },
      authorization: anyone,
    }),
    MapFromMachineGroup: method({ in: { name: 's', gid_inner: 'u' }, out: { gid_outer: 'u' }, authorization: anyone }),
    MapToMachineGroup: method({
      in: { gid_outer: 'u' },
      out: { machine_name: 's', machine_path: 'o', gid_inner: 'u' },
      authorization: anyone,
    }),
  },
  signals: {
    MachineNew: signal({ machine: 's', path: 'o' }),
    MachineRemoved: signal({ machine: 's', path: 'o' }),
  },
});
