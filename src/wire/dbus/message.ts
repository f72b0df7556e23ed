import { ValueError } from './errors.js';
import { maximumArrayLength, maximumMessageLength } from './limits.js';
import { Writer, writeValues } from './marshal.js';
import { isBusName, isErrorName, isInterfaceName, isMemberName, isObjectPath } from './names.js';

// Messages and their header: D-Bus Specification, "Message Format".

export const typeCodes = { call: 1, return: 2, error: 3, signal: 4 } as const;
export type MessageType = keyof typeof typeCodes;

export const flagBits = { noReply: 1, noAutoStart: 2, allowInteractive: 4 } as const;

export const fieldCodes = {
  path: 1,
  interface: 2,
  member: 3,
  errorName: 4,
  replySerial: 5,
  destination: 6,
  sender: 7,
  signature: 8,
  unixFds: 9,
} as const;

export const littleEndianMark = 0x6c;
export const bigEndianMark = 0x42;
export const protocolVersion = 1;

/** They exist inside some implementations only and must not be seen on a wire. */
export const localPath = '/org/freedesktop/DBus/Local';
export const localInterface = 'org.freedesktop.DBus.Local';

interface AnyMessage {
  /** 1 … 4294967295, unique among the sender's messages that still wait for a reply. */
  readonly serial: number;
  readonly destination?: string | undefined;
  /** A client leaves it to the bus. */
  readonly sender?: string | undefined;
  /** No reply is expected, and none will be looked at. */
  readonly noReply?: boolean | undefined;
  /** The destination shall not be started for this message. */
  readonly noAutoStart?: boolean | undefined;
  /** The caller is ready to wait while the user is asked for authorization. */
  readonly allowInteractive?: boolean | undefined;
  /** Of the body; absent: there is no body. */
  readonly signature?: string | undefined;
  /** One value for each complete type of the signature, as `FromSignature` maps them. */
  readonly body?: readonly unknown[] | undefined;
}

/** A message to be sent. */
export type Message = AnyMessage &
  (
    | {
        readonly messageType: 'call';
        readonly path: string;
        readonly interface?: string | undefined;
        readonly member: string;
      }
    | { readonly messageType: 'return'; readonly replySerial: number }
    | { readonly messageType: 'error'; readonly replySerial: number; readonly errorName: string }
    | { readonly messageType: 'signal'; readonly path: string; readonly interface: string; readonly member: string }
  );

export interface EncodedMessage {
  /** Its own memory: nothing overwrites it later. */
  readonly bytes: Buffer;
  /** The descriptors in the body, still the caller's, which go with the first byte. */
  readonly fds: readonly number[];
}

/** One for all messages: encoding is synchronous, and the result is copied out of it. */
const writer = new Writer();

/** Throws ValueError if the message cannot exist or its values do not fit its signature. */
export function encodeMessage(message: Message, littleEndian = true): EncodedMessage {
  write(message, littleEndian, 0);
  // The header tells how many descriptors there are, which only the body shows. Few messages have any.
  if (writer.fds.length > 0) write(message, littleEndian, writer.fds.length);
  const length = writer.position;
  if (length > maximumMessageLength) throw new ValueError(`A message of ${length} bytes is too long`);
  const bytes = Buffer.allocUnsafe(length);
  bytes.set(writer.bytes.subarray(0, length));
  return { bytes, fds: writer.fds };
}

function write(message: Message, littleEndian: boolean, fdCount: number): void {
  const signature = message.signature ?? '';
  writer.reset(littleEndian);
  writeHeader(message, signature, fdCount);
  const bodyStart = writer.position; // a multiple of 8: a body is aligned as if it stood alone
  writeValues(writer, signature, message.body ?? []);
  writer.setUint32(bodyLengthPosition, writer.position - bodyStart);
}

const bodyLengthPosition = 4;

function writeHeader(message: Message, signature: string, fdCount: number): void {
  writer.byte(writer.littleEndian ? littleEndianMark : bigEndianMark);
  writer.byte(typeCodes[message.messageType]);
  writer.byte(flagsOf(message));
  writer.byte(protocolVersion);
  writer.uint32(0); // the body's length, which is not known yet
  writer.uint32(checkSerial(message.serial));
  const lengthPosition = writer.position;
  writer.uint32(0);
  writeFields(message);
  if (signature !== '') {
    beginField(fieldCodes.signature, 'g');
    writer.signature(signature);
  }
  if (fdCount > 0) writeNumber(fieldCodes.unixFds, fdCount);
  const length = writer.position - lengthPosition - 4;
  if (length > maximumArrayLength) throw new ValueError('The header is too long');
  writer.setUint32(lengthPosition, length);
  writer.align(8);
}

function writeFields(message: Message): void {
  switch (message.messageType) {
    case 'call':
    case 'signal':
      writePath(message.path);
      if (message.interface !== undefined) writeInterface(message.interface);
      writeName(fieldCodes.member, message.member, isMemberName);
      break;
    case 'error':
      writeName(fieldCodes.errorName, message.errorName, isErrorName);
      writeNumber(fieldCodes.replySerial, checkSerial(message.replySerial));
      break;
    case 'return':
      writeNumber(fieldCodes.replySerial, checkSerial(message.replySerial));
      break;
  }
  if (message.destination !== undefined) writeName(fieldCodes.destination, message.destination, isBusName);
  if (message.sender !== undefined) writeName(fieldCodes.sender, message.sender, isBusName);
}

function flagsOf(message: Message): number {
  return (
    (message.noReply === true ? flagBits.noReply : 0) |
    (message.noAutoStart === true ? flagBits.noAutoStart : 0) |
    (message.allowInteractive === true ? flagBits.allowInteractive : 0)
  );
}

function writePath(path: string): void {
  const valid = isObjectPath(path) && path !== localPath;
  if (!valid) throw new ValueError(`No message can have path ${JSON.stringify(path)}`);
  beginField(fieldCodes.path, 'o');
  writer.string(path);
}

function writeInterface(name: string): void {
  if (name === localInterface) throw new ValueError(`No message can have interface ${name}`);
  writeName(fieldCodes.interface, name, isInterfaceName);
}

function writeName(code: number, name: string, isValid: (name: string) => boolean): void {
  if (!isValid(name)) throw new ValueError(`No message can have ${JSON.stringify(name)} in header field ${code}`);
  beginField(code, 's');
  writer.string(name);
}

function writeNumber(code: number, value: number): void {
  beginField(code, 'u');
  writer.uint32(value);
}

/** Header fields are a(yv). */
function beginField(code: number, signature: string): void {
  writer.align(8);
  writer.byte(code);
  writer.signature(signature);
}

function checkSerial(serial: number): number {
  const valid = Number.isInteger(serial) && serial > 0 && serial <= 0xffffffff;
  if (!valid) throw new ValueError(`No message can have serial ${serial}`);
  return serial;
}
