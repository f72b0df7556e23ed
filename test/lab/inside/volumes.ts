// Runs inside a host of the lab: a storage provider, and the program that controls a machine, as machinectl's bind-volume
// wants them. What they answer is in the volume's name: 'refused-NoSuchVolume', 'unanswered', 'detached-StorageImmutable'.
// Arguments: the directory for their sockets, provider and machine. What they are asked goes to standard output.
import { closeSync, ftruncateSync, openSync, readlinkSync } from 'node:fs';
import { close } from '../../../src/host/kernel/libc.js';
import { listenUnix } from '../../../src/host/kernel/unix-socket.js';
import type { ByteStream } from '../../../src/ports/stream.js';
import { encodeFrame, FrameReader } from '../../../src/wire/varlink/framing.js';

interface Call {
  readonly method: string;
  readonly parameters: { readonly name: string };
}

const [directory = ''] = process.argv.slice(2);
const disk = openSync(`${directory}/disk`, 'w+');
ftruncateSync(disk, 4096);
process.once('exit', () => closeSync(disk));

/** Calls back for every call; `false` hangs up. */
function serve(socket: string, answer: (stream: ByteStream, call: Call, fds: readonly number[]) => boolean): void {
  listenUnix(`${directory}/${socket}`, {
    mode: 0o666, backlog: 16, refuseDescriptors: false,
    onShortage: (error) => {
      throw error;
    },
    onConnection: (stream) => {
      const reader = new FrameReader();
      stream.start({
        data: (bytes, fds) => {
          reader.push(bytes, fds);
          for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
            const files = frame.fds.map((fd) => readlinkSync(`/proc/self/fd/${fd}`));
            console.log(`${socket} ${frame.text} ${files.join(' ')}`);
            const stays = answer(stream, JSON.parse(frame.text) as Call, frame.fds);
            frame.fds.forEach(close);
            if (!stays) return stream.close();
          }
        },
        end: () => stream.close(),
        closed: () => undefined,
      });
    },
  });
}

/** What stands behind the prefix in a name, if it has that. */
function behind(prefix: string, name: string): string | undefined {
  return name.includes(prefix) ? name.slice(name.indexOf(prefix) + prefix.length) : undefined;
}

serve('provider', (stream, { parameters: { name } }) => {
  const error = behind('refused-', name);
  if (name === 'unanswered') return false;
  if (error !== undefined) stream.write(encodeFrame({ error: `io.systemd.StorageProvider.${error}`, parameters: {} }));
  else stream.write(encodeFrame({ parameters: { fileDescriptorIndex: 0, type: 'reg', readOnly: false } }), [disk]);
  return true;
});

serve('machine', (stream, { parameters }) => {
  const name = (parameters as Call['parameters'] | undefined)?.name ?? '';
  const error = behind('detached-', name);
  if (name.endsWith('hung-up')) return false;
  if (error !== undefined) stream.write(encodeFrame({ error: `io.systemd.MachineInstance.${error}`, parameters: {} }));
  else stream.write(encodeFrame({ parameters: {} }));
  return true;
});
console.log('ready');
