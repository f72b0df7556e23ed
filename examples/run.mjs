#!/usr/bin/env node
// Runs a program as a machine with a scope of its own, which is there for as long as the program runs.
//
//     node examples/run.mjs NAME PROGRAM [ARGUMENT…]
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'machined/client';

const [, , name, program, ...parameters] = process.argv;
const child = spawn(program, parameters, { stdio: 'inherit' });
await once(child, 'spawn');
const ended = once(child, 'exit');

const client = await connect();
try {
  const machine = await client.register({ name, class: 'container', service: 'example', leader: child.pid, allocateUnit: true });
  try {
    const { unit } = await client.get(machine.name);
    console.log(`${machine.name} runs in ${unit}`);
    const [status] = await ended;
    process.exitCode = status ?? 1;
  } finally {
    // in TypeScript: await using machine = …
    await machine.unregister();
  }
} finally {
  child.kill();
  client.close();
}
