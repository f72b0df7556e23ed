/**
 * machined/client: a client of the registry of virtual machines and containers, systemd-machined or machined.
 *
 * Start with `connect`. Below it are the connections, typed by the declarations of the interfaces, for whoever needs a
 * method that the client does not have: `VarlinkClient` and `BusClient`.
 */
export { connect, type ConnectOptions } from './connect.js';
export { MachineClient, type BindSettings, type CopySettings } from './client.js';
export { Execution, type ExecResult, type ExecSettings } from './execution.js';
export { MachineImages } from './images.js';
export { Registration } from './registration.js';
export { MachineTerminal } from './terminal.js';
export { RootDirectory } from './root-directory.js';
export { isMachinedError, MachinedError, type MachinedErrorCode, type MachinedErrorDetails } from './error.js';
export type {
  Address, CallSettings, Image, KillWhom, Machine, MachineClass, MachineEvent, MachineState, MetadataSettings, NewMachine, Pool,
  Process, Progress, RemovedImage, TerminalRequest,
} from './model.js';

export { VarlinkClient, type CallOptions } from './varlink.js';
export { BusClient, systemBusAddress, type BusCallOptions, type PropertiesOf } from './bus.js';
export { imageVarlink } from '../contract/varlink/image.js';
export { machineVarlink } from '../contract/varlink/machine.js';
export { ownMachineVarlink } from '../contract/varlink/own-machine.js';
export { ownOperationsVarlink } from '../contract/varlink/own-operations.js';
export { userDatabaseVarlink } from '../contract/varlink/user-database.js';
export { imageInterface } from '../contract/dbus/image.js';
export { machineInterface } from '../contract/dbus/machine.js';
export { managerInterface } from '../contract/dbus/manager.js';
export { ownManagerInterface } from '../contract/dbus/own-manager.js';
export { ownOperationsInterface } from '../contract/dbus/own-operations.js';
