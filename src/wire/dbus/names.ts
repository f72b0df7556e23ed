// D-Bus Specification, "Valid Names" and "Valid Object Paths".

const maximumNameLength = 255;
const interfacePattern = /^[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)+$/;
const memberPattern = /^[A-Za-z_][A-Za-z0-9_]*$/;
const wellKnownPattern = /^[A-Za-z_-][A-Za-z0-9_-]*(?:\.[A-Za-z_-][A-Za-z0-9_-]*)+$/;
const pathPattern = /^\/(?:[A-Za-z0-9_]+(?:\/[A-Za-z0-9_]+)*)?$/;
const uniquePattern = /^:[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+$/;

/** 'org.freedesktop.machine1.Manager' */
export function isInterfaceName(text: string): boolean {
  return text.length <= maximumNameLength && interfacePattern.test(text);
}

/** Error names follow the rules of interface names. */
export const isErrorName = isInterfaceName;

/** The name of a method or signal: 'GetMachine' */
export function isMemberName(text: string): boolean {
  return text.length <= maximumNameLength && memberPattern.test(text);
}

/** ':1.42' */
export function isUniqueName(text: string): boolean {
  return text.length <= maximumNameLength && uniquePattern.test(text);
}

/** 'org.freedesktop.machine1' */
export function isWellKnownName(text: string): boolean {
  return text.length <= maximumNameLength && wellKnownPattern.test(text);
}

/** A unique or a well-known name. */
export function isBusName(text: string): boolean {
  return text.startsWith(':') ? isUniqueName(text) : isWellKnownName(text);
}

/** '/' or '/a/b': elements of A-Z a-z 0-9 _, none of them empty. */
export function isObjectPath(text: string): boolean {
  return pathPattern.test(text);
}

const slash = 0x2f;
const isPathCharacter = Uint8Array.from({ length: 256 }, (_, byte) =>
  /[A-Za-z0-9_]/.test(String.fromCharCode(byte)) ? 1 : 0,
);

/** The same of bytes[start … end), where a value is about to be read or has just been written. */
export function isObjectPathIn(bytes: Uint8Array, start: number, end: number): boolean {
  if (start === end || bytes[start] !== slash) return false;
  if (end - start === 1) return true;
  let afterSlash = true;
  for (let position = start + 1; position < end; position++) {
    const byte = bytes[position]!;
    if (isPathCharacter[byte] === 1) afterSlash = false;
    else if (byte === slash && !afterSlash) afterSlash = true;
    else return false;
  }
  return !afterSlash;
}
