// The clients of the load generator: as thin as they can be, because what they cost is in both daemons' numbers. They look
// at the headers of answers only; what is in them is checked once, before anything is measured.
import { close } from '../src/host/kernel/libc.js';
import { connectUnix } from '../src/host/kernel/unix-socket.js';
import type { ByteStream } from '../src/ports/stream.js';
import { MessageReader } from '../src/wire/dbus/message-reader.js';
import { encodeMessage } from '../src/wire/dbus/message.js';
import type { ReceivedError, ReceivedMessage, ReceivedReturn } from '../src/wire/dbus/received.js';
import { SaslClient } from '../src/wire/dbus/sasl.js';
import { call } from '../src/wire/varlink/call.js';
import { encodeFrame, FrameReader } from '../src/wire/varlink/framing.js';
import { isObject, parseJson, type JsonObject } from '../src/wire/varlink/json.js';

export const machineSocket = '/run/systemd/machine/io.systemd.Machine';
const busSocket = '/run/dbus/system_bus_socket';
const noBytes = Buffer.alloc(0);

/** Sends together what is written within one turn of the event loop: both daemons get the same packets. */
class Cork {
  readonly #stream: ByteStream;
  #waiting: Uint8Array[] = [];

  constructor(stream: ByteStream) {
    this.#stream = stream;
  }

  write(bytes: Uint8Array): void {
    if (this.#waiting.length === 0) queueMicrotask(() => this.#flush());
    this.#waiting.push(bytes);
  }

  #flush(): void {
    const [first] = this.#waiting;
    const bytes = this.#waiting.length === 1 && first !== undefined ? first : Buffer.concat(this.#waiting);
    this.#waiting = [];
    this.#stream.write(bytes);
  }
}

interface Waiting<T> {
  readonly resolve: (answer: T) => void;
  readonly reject: (error: Error) => void;
}

/** What a method of the manager is called with. */
export interface BusRequest {
  readonly member: string;
  readonly signature: string;
  readonly body: readonly unknown[];
}

/** A connection to the system bus that calls machine1's manager. Rejects with Error when the bus or the daemon does. */
export class BusClient implements Disposable {
  readonly #stream: ByteStream;
  readonly #cork: Cork;
  readonly #reader = new MessageReader();
  readonly #waiting = new Map<number, Waiting<ReceivedReturn>>();
  #serial = 0;

  private constructor(stream: ByteStream) {
    this.#stream = stream;
    this.#cork = new Cork(stream);
  }

  static async connect(): Promise<BusClient> {
    const client = new BusClient(await connectUnix(busSocket));
    await client.#authenticate();
    await client.#send('org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus', { member: 'Hello', signature: '', body: [] });
    return client;
  }

  call(request: BusRequest): Promise<ReceivedReturn> {
    return this.#send('org.freedesktop.machine1', '/org/freedesktop/machine1', 'org.freedesktop.machine1.Manager', request);
  }

  [Symbol.dispose](): void {
    this.#stream.close();
  }

  #authenticate(): Promise<void> {
    return new Promise((resolve, reject) => {
      const sasl = new SaslClient(0);
      let shakingHands = true;
      this.#stream.start({
        data: (bytes, fds) => {
          fds.forEach(close);
          if (!shakingHands) return this.#read(bytes);
          const progress = sasl.push(bytes);
          if (progress.state === 'rejected') return reject(new Error(progress.reason));
          this.#stream.write(progress.send);
          if (progress.state === 'continuing') return;
          shakingHands = false;
          resolve();
        },
        end: () => this.#fail(new Error('the bus has ended the connection')),
        closed: (error) => this.#fail(error ?? new Error('the bus has closed the connection')),
      });
      this.#stream.write(sasl.start());
    });
  }

  #send(destination: string, path: string, interfaceName: string, request: BusRequest): Promise<ReceivedReturn> {
    const serial = ++this.#serial;
    const { bytes } = encodeMessage({ messageType: 'call', serial, destination, path, interface: interfaceName, ...request });
    this.#cork.write(bytes);
    return new Promise((resolve, reject) => this.#waiting.set(serial, { resolve, reject }));
  }

  #read(bytes: Uint8Array): void {
    this.#reader.push(bytes);
    for (let message = this.#reader.next(); message !== undefined; message = this.#reader.next()) {
      if (isAnswer(message)) this.#settle(message);
    }
  }

  #settle(answer: ReceivedReturn | ReceivedError): void {
    const waiting = this.#waiting.get(answer.replySerial);
    this.#waiting.delete(answer.replySerial);
    if (answer.messageType === 'return') waiting?.resolve(answer);
    else waiting?.reject(new Error(`${answer.errorName}: ${String(answer.body()[0])}`));
  }

  #fail(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

function isAnswer(message: ReceivedMessage): message is ReceivedReturn | ReceivedError {
  return message.messageType === 'return' || message.messageType === 'error';
}

interface WaitingReplies extends Waiting<void> {
  missing: number;
}

const nul = 0;
/** The first letter of a message's first field: an answer begins with {"parameters", an error with {"error". */
const firstLetter = 2;
const letterE = 0x65;

/** A connection to the machine socket. Calls are answered in their order. */
export class VarlinkClient implements Disposable {
  readonly #stream: ByteStream;
  readonly #cork: Cork;
  readonly #waiting: WaitingReplies[] = [];
  #beginning: Buffer = noBytes;

  private constructor(stream: ByteStream) {
    this.#stream = stream;
    this.#cork = new Cork(stream);
    stream.start({
      data: (bytes) => this.#read(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)),
      end: () => this.#fail(new Error('the daemon has ended the connection')),
      closed: (error) => this.#fail(error ?? new Error('the daemon has closed the connection')),
    });
  }

  static async connect(): Promise<VarlinkClient> {
    return new VarlinkClient(await connectUnix(machineSocket));
  }

  /** Resolves when that many replies have come; rejects at the first that is an error. */
  call(frame: Uint8Array, replies: number): Promise<void> {
    this.#cork.write(frame);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject, missing: replies }));
  }

  [Symbol.dispose](): void {
    this.#stream.close();
  }

  #read(bytes: Buffer): void {
    let start = 0;
    for (let end = bytes.indexOf(nul); end >= 0; end = bytes.indexOf(nul, start)) {
      const message = bytes.subarray(start, end);
      this.#take(this.#beginning.length === 0 ? message : Buffer.concat([this.#beginning, message]));
      this.#beginning = noBytes;
      start = end + 1;
    }
    if (start < bytes.length) this.#beginning = Buffer.concat([this.#beginning, bytes.subarray(start)]);
  }

  #take(message: Buffer): void {
    const [first] = this.#waiting;
    if (first === undefined) throw new Error(`an answer that nobody asked for: ${message.toString()}`);
    first.missing -= 1;
    const isError = message[firstLetter] === letterE;
    if (first.missing > 0 && !isError) return;
    this.#waiting.shift();
    if (isError) first.reject(new Error(message.toString()));
    else first.resolve();
  }

  #fail(error: Error): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}

/** The bytes of a call to io.systemd.Machine. */
export function varlinkCall(method: string, parameters: object, flags: { readonly more?: boolean } = {}): Uint8Array {
  return encodeFrame(call(`io.systemd.Machine.${method}`, parameters, flags));
}

/** All the replies to one call, on a connection of its own, read in full. */
export async function varlinkReplies(frame: Uint8Array): Promise<readonly JsonObject[]> {
  const stream = await connectUnix(machineSocket);
  try {
    return await new Promise((resolve, reject) => {
      const reader = new FrameReader();
      const replies: JsonObject[] = [];
      stream.start({
        data: (bytes) => {
          reader.push(bytes);
          for (let next = reader.next(); next !== undefined; next = reader.next()) {
            const reply = parseJson(next.text);
            if (!isObject(reply) || reply['error'] !== undefined) return reject(new Error(next.text));
            replies.push(isObject(reply['parameters']) ? reply['parameters'] : {});
            if (reply['continues'] !== true) resolve(replies);
          }
        },
        end: () => reject(new Error('the daemon has ended the connection')),
        closed: (error) => reject(error ?? new Error('the daemon has closed the connection')),
      });
      stream.write(frame);
    });
  } finally {
    stream.close();
  }
}
