import { after, before } from 'node:test';
import { startBus, type TestBus } from '../support/bus.js';
import { DBusRegistry } from '../support/registry-dbus.js';
import { registrySuite } from './registry.js';

let bus: TestBus;
before(async () => {
  bus = await startBus();
});
after(() => bus[Symbol.asyncDispose]());

registrySuite('D-Bus', (world) => DBusRegistry.start(bus, world));
