/** The client's side of validate.ts: from a reply to the typed output of the method. */
import { isObject, type JsonObject, type JsonValue } from './json.js';
import { fieldShapes, misfit, readFields, type FieldShape, type Interface, type Method, type Output, type ReadResult, type Shape } from './schema.js';

/**
 * The typed output of a method. A server may be younger than the declaration: what is not declared is passed over, and
 * null counts as absent; what is declared must be there and fit.
 */
export function readReply<M extends Method>(declaration: Interface, method: M, parameters: JsonObject): ReadResult<Output<M>> {
  const known = knownMembers(declaration, fieldShapes(method.output), parameters);
  const wrong = misfit(method.output, known);
  if (wrong !== undefined) return { ok: false, parameter: wrong };
  return readFields(method.output as M['output'], known);
}

function knownMembers(declaration: Interface, fields: readonly FieldShape[], object: JsonObject): JsonObject {
  const known: JsonObject = {};
  for (const { name, shape } of fields) {
    const value = Object.hasOwn(object, name) ? object[name] : undefined;
    if (value !== undefined && value !== null) known[name] = knownPart(declaration, shape, value);
  }
  return known;
}

function knownPart(declaration: Interface, shape: Shape, value: JsonValue): JsonValue {
  switch (shape.kind) {
    case 'nullable':
      return knownPart(declaration, shape.of, value);
    case 'array':
      return Array.isArray(value) ? value.map((item) => knownPart(declaration, shape.of, item)) : value;
    case 'named': {
      const definition = declaration.types.find(({ name }) => name === shape.name)?.definition;
      return definition === undefined ? value : knownPart(declaration, definition, value);
    }
    case 'struct':
      return isObject(value) ? knownMembers(declaration, shape.fields, value) : value;
    default:
      return value;
  }
}
