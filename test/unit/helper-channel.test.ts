/** The helper's end of the socket, with the daemon's at hand. */
import assert from 'node:assert/strict';
import { closeSync, fstatSync, openSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { HelperChannel } from '../../src/host/guests/helper-channel.js';
import { closeAll } from '../../src/host/kernel/socket-message.js';
import { connectedPair } from '../../src/host/kernel/unix-socket.js';

const descriptors = (): string[] => readdirSync('/proc/self/fd');

test('texts of any length and descriptors go both ways, and none of them stays open', async () => {
  const before = descriptors();
  const { stream, other } = connectedPair();
  const channel = new HelperChannel(other);
  const file = openSync('/etc/passwd', 'r');

  stream.write(Buffer.from(`${JSON.stringify('ü'.repeat(10_000))}\n`), [file]);
  const request = channel.receive();
  assert.equal(JSON.parse(request?.text ?? ''), 'ü'.repeat(10_000));
  assert.deepEqual(request?.fds.map((fd) => fstatSync(fd).ino), [fstatSync(file).ino]);
  channel.release(request?.fds ?? []);

  const inode = fstatSync(file).ino;
  channel.send({ text: 'x'.repeat(100_000), fds: [file] });
  assert.throws(() => closeSync(file), { code: 'EBADF' });
  let [text, inodes] = ['', [] as number[]];
  await new Promise<void>((resolve) => {
    stream.start({
      data: (bytes, fds) => {
        text += Buffer.from(bytes).toString();
        inodes = [...inodes, ...fds.map((fd) => fstatSync(fd).ino)];
        closeAll(fds);
        if (text.endsWith('\n')) resolve();
      },
      end: () => undefined,
      closed: (error) => assert.fail(error),
    });
  });
  assert.deepEqual([text.length, inodes], [100_001, [inode]]);

  stream.close();
  assert.equal(channel.receive(), undefined);
  closeSync(other);
  // the loop's own descriptor was made meanwhile
  assert.ok(descriptors().length <= before.length + 1, `${before.join(' ')} has become ${descriptors().join(' ')}`);
});
