export type JsonValue = null | boolean | number | bigint | string | JsonValue[] | JsonObject;

/** The first key that the text had twice in an object; the object holds the first of the two values. */
export const repeatedKey = Symbol('repeated key');

export interface JsonObject {
  [key: string]: JsonValue;
  [repeatedKey]?: string;
}

export function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
