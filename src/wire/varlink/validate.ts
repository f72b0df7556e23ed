/**
 * From a call to the method and its typed input, in the order in which systemd looks at things: is there such a
 * method; does it need 'more'; is every field what the IDL says; is every value acceptable.
 */
import type { MethodCall } from './call.js';
import type { JsonObject } from './json.js';
import { misfit, readFields, type FieldValues, type Interface, type Method } from './schema.js';

/** An error of org.varlink.service to reply with. */
export interface CallError {
  readonly ok: false;
  readonly error: string;
  readonly parameters: Readonly<Record<string, string>>;
}

/** Every call of an unknown method gets this, no matter whether its interface is known. */
export function methodNotFound(method: string): CallError {
  return { ok: false, error: 'org.varlink.service.MethodNotFound', parameters: { method } };
}

export function invalidParameter(parameter: string): CallError {
  return { ok: false, error: 'org.varlink.service.InvalidParameter', parameters: { parameter } };
}

/** The method gives several replies, or would in this case, and the caller did not say 'more'. */
export function expectedMore(): CallError {
  return { ok: false, error: 'org.varlink.service.ExpectedMore', parameters: {} };
}

export type InputResult<T> = { readonly ok: true; readonly input: T } | CallError;

/** The typed input of a call of `method`. */
export function readInput<M extends Method>(method: M, call: Pick<MethodCall, 'parameters' | 'more'>): InputResult<FieldValues<M['input']>> {
  if (method.more === 'requires' && !call.more) return expectedMore();
  const wrong = misfit(method.input, call.parameters);
  if (wrong !== undefined) return invalidParameter(wrong);
  const result = readFields(method.input as M['input'], call.parameters);
  return result.ok ? { ok: true, input: result.values } : invalidParameter(result.parameter);
}

/** The field of a method's output that is not what its declaration says, or undefined: for tests and clients. */
export function outputMisfit(method: Method, parameters: JsonObject): string | undefined {
  return misfit(method.output, parameters);
}

export interface MethodEntry {
  readonly interface: Interface;
  /** Without the interface's name. */
  readonly name: string;
  readonly method: Method;
}

/** The methods of the interfaces that one socket serves. */
export class MethodTable {
  readonly #entries = new Map<string, MethodEntry>();

  constructor(interfaces: Iterable<Interface>) {
    for (const declaration of interfaces) {
      for (const [name, method] of Object.entries(declaration.methods)) {
        this.#entries.set(`${declaration.name}.${name}`, { interface: declaration, name, method });
      }
    }
  }

  find(method: string): MethodEntry | undefined {
    return this.#entries.get(method);
  }

  /** Finds the method that is called and reads its input. */
  resolve(call: MethodCall): { readonly ok: true; readonly entry: MethodEntry; readonly input: unknown } | CallError {
    const entry = this.#entries.get(call.method);
    if (entry === undefined) return methodNotFound(call.method);
    const result = readInput(entry.method, call);
    return result.ok ? { ok: true, entry, input: result.input } : result;
  }
}
