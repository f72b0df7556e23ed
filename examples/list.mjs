#!/usr/bin/env node
// The machines of this host, with what can be seen of each.
//
//     node examples/list.mjs
import { connect, isMachinedError } from 'machined/client';

let client;
try {
  client = await connect();
  for (const machine of await client.list({ metadata: true })) {
    const system = machine.osRelease?.PRETTY_NAME ?? 'unknown system';
    const addresses = (machine.addresses ?? []).map(({ address }) => address);
    console.log(`${machine.name} (${machine.class}): ${system}${addresses.length > 0 ? `, ${addresses.join(' ')}` : ''}`);
  }
} catch (error) {
  if (!isMachinedError(error)) throw error;
  console.error(`${error.code}: ${error.message}`);
  process.exitCode = 1;
} finally {
  client?.close();
}
