#!/usr/bin/env node
// What becomes of machines, until one of the name given has gone, or Ctrl-C.
//
//     node examples/watch.mjs [NAME]
import { connect } from 'machined/client';

const [, , awaited] = process.argv;
const stop = new AbortController();
process.once('SIGINT', () => stop.abort());

const client = await connect();
try {
  for await (const event of client.watch({ signal: stop.signal })) {
    if (event.type === 'ready') {
      console.log('ready');
      continue;
    }
    console.log(`${event.type} ${event.machine.name}`);
    if (event.type === 'removed' && event.machine.name === awaited) break;
  }
} catch (error) {
  if (!stop.signal.aborted) throw error;
} finally {
  client.close();
}
