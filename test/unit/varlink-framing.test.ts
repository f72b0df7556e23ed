import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { encodeFrame, FrameError, FrameReader, frameText, type Frame } from '../../src/wire/varlink/framing.js';

function takeAll(reader: FrameReader): Frame[] {
  const frames: Frame[] = [];
  for (let frame = reader.next(); frame !== undefined; frame = reader.next()) frames.push(frame);
  return frames;
}

const bytes = (text: string) => Buffer.from(text, 'latin1');

suite('varlink frames', () => {
  test('several in a chunk, and one in several chunks', () => {
    const reader = new FrameReader();
    reader.push(bytes('one\0two\0thr'));
    assert.deepEqual(takeAll(reader).map(({ text }) => text), ['one', 'two']);
    assert.equal(reader.midFrame, true);
    reader.push(bytes('ee'));
    assert.equal(reader.next(), undefined);
    reader.push(bytes('\0\0'));
    assert.deepEqual(takeAll(reader).map(({ text }) => text), ['three', '']);
    assert.equal(reader.midFrame, false);
  });

  test('the chunk may be reused at once', () => {
    const reader = new FrameReader();
    const chunk = bytes('ab\0c');
    reader.push(chunk);
    chunk.fill(0x78);
    reader.push(bytes('d\0'));
    assert.deepEqual(takeAll(reader).map(({ text }) => text), ['ab', 'cd']);
  });

  test('a chunk may be a part of a larger buffer', () => {
    const reader = new FrameReader();
    reader.push(new Uint8Array(bytes('xx"é"\0yy').buffer.slice(0), 0, 0));
    const larger = Buffer.from('xxé\0yy');
    reader.push(new Uint8Array(larger.buffer, larger.byteOffset + 2, 3));
    assert.deepEqual(takeAll(reader), [{ text: 'é', fds: [] }]);
  });

  test('text is UTF-8, and may hold U+FFFD and a byte order mark', () => {
    const reader = new FrameReader();
    reader.push(Buffer.from('\ufffd\0\ufeffx\0'));
    assert.deepEqual(takeAll(reader).map(({ text }) => text), ['\ufffd', '\ufeffx']);
  });

  for (const wrong of ['\xff\xfe', '\xed\xa0\x80', '\xc0\x80', '\xf4\x90\x80\x80', 'a\xe2\x82']) {
    test(`refuses what is not UTF-8: ${Buffer.from(wrong, 'latin1').toString('hex')}`, () => {
      const reader = new FrameReader();
      reader.push(bytes(`good\0${wrong}\0never\0`));
      assert.equal(reader.next()?.text, 'good');
      assert.throws(() => reader.next(), FrameError);
      reader.push(bytes('never\0'));
      assert.throws(() => reader.next(), FrameError);
    });
  }

  test('the limit holds in one chunk and over many, and not for the sum of messages', () => {
    for (const chunkLength of [1, 3, 100]) {
      const reader = new FrameReader({ bytes: 8 });
      const stream = bytes('12345678\x0012345678\x00123456789');
      for (let start = 0; start < stream.length; start += chunkLength) reader.push(stream.subarray(start, start + chunkLength));
      assert.deepEqual([reader.next()?.text, reader.next()?.text], ['12345678', '12345678']);
      assert.throws(() => reader.next(), FrameError);
    }
  });

  test('16 MiB byte by byte do not take more than linear time', { timeout: 20_000 }, () => {
    const reader = new FrameReader();
    const byte = bytes('x');
    for (let count = 0; count < 2 ** 22; count++) reader.push(byte);
    reader.push(new Uint8Array(3 * 2 ** 22).fill(0x78));
    reader.push(bytes('\0'));
    assert.equal(reader.next()?.text.length, 2 ** 24);
    reader.push(new Uint8Array(2 ** 24 + 1).fill(0x78));
    assert.throws(() => reader.next(), FrameError);
  });

  test('descriptors go to the last frame of their chunk', () => {
    const reader = new FrameReader();
    reader.push(bytes('one\0two\0'), [5, 6]);
    reader.push(bytes('three\0fo'), [7]);
    reader.push(bytes('ur'), [8]);
    reader.push(bytes('\0five\0'));
    assert.deepEqual(takeAll(reader), [
      { text: 'one', fds: [] }, { text: 'two', fds: [5, 6] }, { text: 'three', fds: [] }, { text: 'four', fds: [7, 8] }, { text: 'five', fds: [] },
    ]);
    assert.deepEqual(reader.abandon(), []);
  });

  test('no descriptor is lost', () => {
    const reader = new FrameReader();
    reader.push(bytes('one\0'), [3]);
    reader.push(bytes('two\0'), [4]);
    reader.push(bytes('\xff\0'), [5]);
    reader.push(bytes('x'), [6]);
    assert.deepEqual(reader.next(), { text: 'one', fds: [3] });
    assert.deepEqual(reader.abandon(), [4, 5, 6]);
    assert.deepEqual(reader.abandon(), []);
    assert.throws(() => reader.next(), FrameError);
    const cutOff = new FrameReader();
    cutOff.push(bytes('x'), [7]);
    assert.deepEqual(cutOff.abandon(), [7]);
  });

  test('encoding', () => {
    assert.equal(frameText({ parameters: { id: 2n ** 63n } }), '{"parameters":{"id":9223372036854775808}}\0');
    assert.deepEqual([...encodeFrame({ a: 'é' })], [...Buffer.from('{"a":"é"}\0')]);
  });
});
