/**
 * Messages: a call is {method, parameters?, more?, oneway?, upgrade?}, a reply {parameters?, continues?} or
 * {error, parameters?}. Source: https://varlink.org/Method-Call, and what systemd makes of it.
 */
import { isObject, type JsonObject, type JsonValue, JsonError, parseJson, repeatedKey, type WritableObject } from './json.js';

export interface MethodCall {
  readonly kind: 'call';
  /** Whatever was in the message, and not necessarily the name of anything. */
  readonly method: string;
  readonly parameters: JsonObject;
  /** The caller accepts several replies. */
  readonly more: boolean;
  /** The caller wants no reply at all, not even an error. */
  readonly oneway: boolean;
  /** The caller wants to speak another protocol afterwards. */
  readonly upgrade: boolean;
}

/** Not a message. systemd's servers do not answer it, but close the connection. */
export interface ProtocolError {
  readonly kind: 'protocol-error';
  readonly reason: string;
}

const callFields = new Set(['method', 'parameters', 'more', 'oneway', 'upgrade']);
const replyFields = new Set(['parameters', 'error', 'continues']);

/** Makes out the call in the text of a frame. Whether there is such a method is a later question (validate.ts). */
export function parseCall(text: string): MethodCall | ProtocolError {
  const message = parseMessage(text, callFields);
  if (message.kind === 'protocol-error') return message;
  const { method, parameters = null, more = false, oneway = false, upgrade = false } = message.fields;
  if (typeof method !== 'string') return protocolError('There is no method');
  if (typeof more !== 'boolean' || typeof oneway !== 'boolean' || typeof upgrade !== 'boolean') return protocolError('A flag is not a boolean');
  if (Number(more) + Number(oneway) + Number(upgrade) > 1) return protocolError('The flags contradict each other');
  const object = parametersObject(parameters);
  if (object === undefined) return protocolError('The parameters are not an object');
  return { kind: 'call', method, parameters: object, more, oneway, upgrade };
}

export interface Reply {
  readonly kind: 'reply';
  readonly parameters: JsonObject;
  /** Further replies to the same call follow. */
  readonly continues: boolean;
}

export interface ErrorReply {
  readonly kind: 'error';
  /** With its interface: 'org.varlink.service.MethodNotFound'. */
  readonly error: string;
  readonly parameters: JsonObject;
}

/** Makes out the reply in the text of a frame: the client's side. */
export function parseReply(text: string): Reply | ErrorReply | ProtocolError {
  const message = parseMessage(text, replyFields);
  if (message.kind === 'protocol-error') return message;
  const { parameters = null, error, continues = false } = message.fields;
  const object = parametersObject(parameters);
  if (object === undefined) return protocolError('The parameters are not an object');
  if (typeof continues !== 'boolean') return protocolError('A flag is not a boolean');
  if (error === undefined) return { kind: 'reply', parameters: object, continues };
  if (typeof error !== 'string') return protocolError('The error has no name');
  if (continues) return protocolError('An error cannot be continued');
  return { kind: 'error', error, parameters: object };
}

function parseMessage(text: string, known: ReadonlySet<string>): { readonly kind: 'message'; readonly fields: JsonObject } | ProtocolError {
  let fields: JsonValue;
  try {
    fields = parseJson(text);
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    return protocolError(error.message);
  }
  if (!isObject(fields)) return protocolError('Not an object');
  const repeated = fields[repeatedKey];
  if (repeated !== undefined) return protocolError(`There are two fields '${repeated}'`);
  const unknown = Object.keys(fields).find((name) => !known.has(name));
  if (unknown !== undefined) return protocolError(`There is no field '${unknown}'`);
  return { kind: 'message', fields };
}

function parametersObject(parameters: JsonValue): JsonObject | undefined {
  if (parameters === null) return {};
  return isObject(parameters) ? parameters : undefined;
}

function protocolError(reason: string): ProtocolError {
  return { kind: 'protocol-error', reason };
}

/** The message of a reply. */
export function reply(parameters: object = {}, options: { readonly continues?: boolean } = {}): WritableObject {
  if (options.continues !== true) return withParameters({}, parameters);
  // not by a spread: lists of thousands of replies come this way
  for (const _any in parameters) return { parameters: parameters as WritableObject, continues: true };
  return { continues: true };
}

/** The message of an error reply; `error` has its interface's name in front. */
export function errorReply(error: string, parameters: object = {}): WritableObject {
  return withParameters({ error }, parameters);
}

export interface CallFlags {
  readonly more?: boolean;
  readonly oneway?: boolean;
}

/** The message of a call. */
export function call(method: string, parameters: object = {}, flags: CallFlags = {}): WritableObject {
  const message = withParameters({ method }, parameters);
  if (flags.more === true) return { ...message, more: true };
  return flags.oneway === true ? { ...message, oneway: true } : message;
}

function withParameters(message: WritableObject, parameters: object): WritableObject {
  for (const _any in parameters) return { ...message, parameters: parameters as WritableObject };
  return message;
}
