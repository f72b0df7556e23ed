// machined/client: the public library.
export { BusClient, systemBusAddress, type BusCallOptions, type PropertiesOf } from './bus.js';
export { isMachinedError, MachinedError, type MachinedErrorCode, type MachinedErrorDetails } from './error.js';
export { VarlinkClient, type CallOptions } from './varlink.js';
export { imageVarlink } from '../contract/varlink/image.js';
export { machineVarlink } from '../contract/varlink/machine.js';
export { ownMachineVarlink } from '../contract/varlink/own-machine.js';
export { imageInterface } from '../contract/dbus/image.js';
export { machineInterface } from '../contract/dbus/machine.js';
export { managerInterface } from '../contract/dbus/manager.js';
