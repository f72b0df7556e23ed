// A bus with a registry of two machines, for machinectl to be tried out with when it is built: what it compiles for that goes
// into its cache (src/main/load.ts).
import { build } from 'esbuild';
import { createServer } from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const begin = 'BEGIN\r\n';

/** What `machinectl list` asks for: D-Bus signatures, and values of them. One machine has no addresses to tell. */
const answers = {
  Hello: { signature: 's', body: [':1.1'] },
  ListMachines: {
    signature: 'a(ssso)',
    body: [['one', 'two'].map((name) => [name, 'container', 'rehearsal', `/org/freedesktop/machine1/machine/${name}`])],
  },
  GetMachineOSRelease: { signature: 'a{ss}', body: [new Map([['ID', 'debian'], ['VERSION_ID', '13'], ['NAME', 'Debian']])] },
  GetMachineAddresses: { signature: 'a(iay)', body: [[[2, Uint8Array.of(192, 0, 2, 7)], [10, new Uint8Array(16)]]] },
};
const refusal = { messageType: 'error', errorName: 'org.freedesktop.machine1.NoPrivateNetworking', signature: 's', body: ['No private network'] };

/** Serves it at the path of a socket that is not there yet. @returns the server. */
export async function serveRehearsal(socketPath) {
  const { encodeMessage, MessageReader } = await loadCodec();
  const server = createServer((socket) => {
    let handshake = Buffer.alloc(0);
    let reader;
    socket.once('data', () => socket.write(`OK ${'0'.repeat(32)}\r\n`));
    socket.on('data', (bytes) => {
      if (reader !== undefined) return answerCalls(bytes);
      handshake = Buffer.concat([handshake, bytes]);
      const end = handshake.indexOf(begin);
      if (end < 0) return;
      reader = new MessageReader();
      answerCalls(handshake.subarray(end + begin.length));
    });
    const answerCalls = (bytes) => {
      reader.push(bytes);
      for (let call = reader.next(); call !== undefined; call = reader.next()) {
        const isRefused = call.member === 'GetMachineAddresses' && call.body()[0] === 'two';
        const reply = { messageType: 'return', serial: call.serial, replySerial: call.serial, ...(isRefused ? refusal : answers[call.member]) };
        socket.write(encodeMessage(reply).bytes);
      }
    };
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(socketPath, resolve));
  return server;
}

/** The project's own, as it is in src/. */
async function loadCodec() {
  const { outputFiles } = await build({
    stdin: { contents: "export * from './message.js'; export * from './message-reader.js';", resolveDir: path.join(root, 'src/wire/dbus') },
    bundle: true,
    write: false,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'warning',
  });
  return import(`data:text/javascript,${encodeURIComponent(outputFiles[0].text)}`);
}
