import { WireError } from './errors.js';
import { maximumArrayLength, maximumMessageLength } from './limits.js';
import {
  bigEndianMark,
  fieldCodes,
  flagBits,
  littleEndianMark,
  localInterface,
  localPath,
  protocolVersion,
} from './message.js';
import type { MessageType } from './message.js';
import { isBusName, isErrorName, isInterfaceName, isMemberName } from './names.js';
import { Reader, readValues, readVariant } from './unmarshal.js';

interface AnyReceived {
  readonly serial: number;
  readonly destination: string | undefined;
  readonly sender: string | undefined;
  readonly noReply: boolean;
  readonly noAutoStart: boolean;
  readonly allowInteractive: boolean;
  /** Of the body, valid; '' if there is none. */
  readonly signature: string;
  /**
   * Bytes. Values can take tens of times the memory of their bytes, so look at this before decoding a body whose
   * sender is not trusted.
   */
  readonly bodyLength: number;
  /** The descriptors that came with the message, which its receiver must close. */
  readonly fds: readonly number[];
  /**
   * The values of the body, decoded at the first call. Throws WireError if the sender wrote nonsense, every time; a
   * bus need not check bodies, so that is no reason to give up the connection.
   */
  body(): readonly unknown[];
}

export type ReceivedCall = AnyReceived & {
  readonly messageType: 'call';
  readonly path: string;
  readonly interface: string | undefined;
  readonly member: string;
};
export type ReceivedReturn = AnyReceived & { readonly messageType: 'return'; readonly replySerial: number };
export type ReceivedError = AnyReceived & {
  readonly messageType: 'error';
  readonly replySerial: number;
  readonly errorName: string;
};
export type ReceivedSignal = AnyReceived & {
  readonly messageType: 'signal';
  readonly path: string;
  readonly interface: string;
  readonly member: string;
};
export type ReceivedMessage = ReceivedCall | ReceivedReturn | ReceivedError | ReceivedSignal;

/** Where a message's fixed beginning says that its parts end. Positions count from the message's first byte. */
export interface Frame {
  readonly littleEndian: boolean;
  readonly fieldsEnd: number;
  readonly bodyStart: number;
  readonly end: number;
}

/** Bytes up to the header fields: byte order, type, flags, version, body length, serial, length of the fields. */
export const fixedLength = 16;
const messageTypes: readonly (MessageType | undefined)[] = [undefined, 'call', 'return', 'error', 'signal'];

/** Measures a message by its first `fixedLength` bytes. Throws WireError. */
export function readFrame(bytes: Buffer, start: number): Frame {
  const mark = bytes[start];
  if (mark !== littleEndianMark && mark !== bigEndianMark) throw new WireError('A message has no known byte order');
  if (bytes[start + 3] !== protocolVersion) throw new WireError('A message has an unknown protocol version');
  const littleEndian = mark === littleEndianMark;
  const bodyLength = littleEndian ? bytes.readUInt32LE(start + 4) : bytes.readUInt32BE(start + 4);
  const fieldsLength = littleEndian ? bytes.readUInt32LE(start + 12) : bytes.readUInt32BE(start + 12);
  if (fieldsLength > maximumArrayLength) throw new WireError(`A header of ${fieldsLength} bytes is too long`);
  const fieldsEnd = fixedLength + fieldsLength;
  const bodyStart = (fieldsEnd + 7) & -8;
  const end = bodyStart + bodyLength;
  if (end > maximumMessageLength) throw new WireError(`A message of ${end} bytes is too long`);
  return { littleEndian, fieldsEnd, bodyStart, end };
}

/** A message of one of the four known types, or of another one, which its receiver should pass over. */
export class IncomingMessage {
  readonly messageType: MessageType | undefined;
  readonly serial: number;
  path: string | undefined = undefined;
  interface: string | undefined = undefined;
  member: string | undefined = undefined;
  errorName: string | undefined = undefined;
  replySerial: number | undefined = undefined;
  destination: string | undefined = undefined;
  sender: string | undefined = undefined;
  signature = '';
  unixFds = 0;
  fds: readonly number[] = [];
  readonly #flags: number;
  readonly #bytes: Buffer;
  readonly #bodyStart: number;
  readonly #end: number;
  readonly #littleEndian: boolean;
  #values: readonly unknown[] | undefined = undefined;

  /** Reads the header of the message that begins at `start` and is there to its end. Throws WireError. */
  constructor(bytes: Buffer, start: number, frame: Frame) {
    this.#bytes = bytes;
    this.#bodyStart = start + frame.bodyStart;
    this.#end = start + frame.end;
    this.#littleEndian = frame.littleEndian;
    const code = bytes[start + 1]!;
    if (code === 0) throw new WireError('A message has the invalid type 0');
    this.messageType = messageTypes[code];
    this.#flags = bytes[start + 2]!;
    this.serial = frame.littleEndian ? bytes.readUInt32LE(start + 8) : bytes.readUInt32BE(start + 8);
    if (this.serial === 0) throw new WireError('A message has serial 0');
    this.#readFields(start + frame.fieldsEnd, start);
    if (this.signature === '' && this.bodyLength > 0) throw new WireError('A message has a body without a signature');
    if (this.messageType !== undefined) this.#requireFields(this.messageType);
  }

  get noReply(): boolean {
    return (this.#flags & flagBits.noReply) !== 0;
  }

  get noAutoStart(): boolean {
    return (this.#flags & flagBits.noAutoStart) !== 0;
  }

  get allowInteractive(): boolean {
    return (this.#flags & flagBits.allowInteractive) !== 0;
  }

  get bodyLength(): number {
    return this.#end - this.#bodyStart;
  }

  body(): readonly unknown[] {
    this.#values ??= readValues(
      new Reader(this.#bytes, this.#bodyStart, this.#end, this.#littleEndian, this.fds),
      this.signature,
    );
    return this.#values;
  }

  #readFields(fieldsEnd: number, start: number): void {
    const reader = new Reader(this.#bytes, start, this.#bodyStart, this.#littleEndian, []);
    reader.position = start + fixedLength;
    // Around a variant in a(yv) are the array and the structure.
    reader.depth = 2;
    let seen = 0;
    while (reader.position < fieldsEnd) {
      reader.align(8);
      const code = reader.byte();
      if (code >= 1 && code <= 9) {
        if ((seen & (1 << code)) !== 0) throw new WireError(`Header field ${code} appears twice`);
        seen |= 1 << code;
      }
      this.#readField(reader, code);
    }
    if (reader.position !== fieldsEnd) throw new WireError('The last header field ends beyond the end of the header');
    reader.align(8);
  }

  #readField(reader: Reader, code: number): void {
    switch (code) {
      case 0:
        throw new WireError('A message has the invalid header field 0');
      case fieldCodes.path:
        expectType(reader, code, 'o');
        this.path = reader.objectPath();
        if (this.path === localPath) throw new WireError(`A message has the reserved path ${localPath}`);
        return;
      case fieldCodes.interface:
        this.interface = readName(reader, code, isInterfaceName);
        if (this.interface === localInterface) throw new WireError(`A message has the reserved ${localInterface}`);
        return;
      case fieldCodes.member:
        this.member = readName(reader, code, isMemberName);
        return;
      case fieldCodes.errorName:
        this.errorName = readName(reader, code, isErrorName);
        return;
      case fieldCodes.replySerial:
        expectType(reader, code, 'u');
        this.replySerial = reader.uint32();
        if (this.replySerial === 0) throw new WireError('A message is a reply to serial 0');
        return;
      case fieldCodes.destination:
        this.destination = readName(reader, code, isBusName);
        return;
      case fieldCodes.sender:
        this.sender = readName(reader, code, isBusName);
        return;
      case fieldCodes.signature:
        expectType(reader, code, 'g');
        this.signature = reader.signature();
        return;
      case fieldCodes.unixFds:
        expectType(reader, code, 'u');
        this.unixFds = reader.uint32();
        return;
      default:
        // A field that this version of the protocol does not know is to be ignored, as long as it is well formed.
        readVariant(reader, 1);
    }
  }

  #requireFields(type: MessageType): void {
    const complete = {
      call: this.path !== undefined && this.member !== undefined,
      return: this.replySerial !== undefined,
      error: this.replySerial !== undefined && this.errorName !== undefined,
      signal: this.path !== undefined && this.interface !== undefined && this.member !== undefined,
    };
    if (!complete[type]) throw new WireError(`A message of type '${type}' lacks a required header field`);
  }
}

function readName(reader: Reader, code: number, isValid: (name: string) => boolean): string {
  expectType(reader, code, 's');
  const name = reader.string();
  if (!isValid(name)) throw new WireError(`Header field ${code} has the invalid name ${JSON.stringify(name)}`);
  return name;
}

/** Reads the variant's signature, which is fixed for each known field. */
function expectType(reader: Reader, code: number, type: string): void {
  const length = reader.byte();
  const first = reader.byte();
  const terminator = reader.byte();
  if (length !== 1 || first !== type.charCodeAt(0) || terminator !== 0) {
    throw new WireError(`Header field ${code} is not of type '${type}'`);
  }
}
