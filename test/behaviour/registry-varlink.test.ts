import { VarlinkRegistry } from '../support/registry-varlink.js';
import { registrySuite } from './registry.js';

registrySuite('Varlink', async (world) => new VarlinkRegistry(world));
