/**
 * Varlink's interface description language: printing a declaration, and reading a text.
 * Source: https://varlink.org/Interface-Definition
 */
import { fieldShapes, type EnumShape, type FieldShape, type Interface, type Method, type Shape, type StructShape } from './schema.js';

/** An interface as its description has it: what clients may know of it. */
export interface Description {
  readonly name: string;
  readonly documentation: string;
  readonly members: readonly Member[];
}

export type Member =
  | { readonly kind: 'type'; readonly name: string; readonly documentation: string; readonly definition: EnumShape | StructShape }
  | {
      readonly kind: 'method';
      readonly name: string;
      readonly documentation: string;
      readonly input: readonly FieldShape[];
      readonly output: readonly FieldShape[];
    }
  | { readonly kind: 'error'; readonly name: string; readonly documentation: string; readonly fields: readonly FieldShape[] };

/** The description of a declared interface; that a method knows 'more' is the last line of its documentation. */
export function describe(declaration: Interface): Description {
  const types = declaration.types.map(({ name, documentation, definition }): Member => ({ kind: 'type', name, documentation, definition }));
  const methods = Object.entries(declaration.methods).map(([name, method]): Member => ({
    kind: 'method',
    name,
    documentation: methodDocumentation(method),
    input: fieldShapes(method.input),
    output: fieldShapes(method.output),
  }));
  const errors = Object.entries(declaration.errors).map(([name, error]): Member => ({
    kind: 'error',
    name,
    documentation: error.documentation,
    fields: fieldShapes(error.fields),
  }));
  return { name: declaration.name, documentation: declaration.documentation, members: [...types, ...methods, ...errors] };
}

const moreNotes = {
  supports: "[May be called with 'more']",
  requires: "[Has to be called with 'more']",
};

function methodDocumentation({ documentation, more }: Method): string {
  if (more === undefined) return documentation;
  return documentation === '' ? moreNotes[more] : `${documentation}\n${moreNotes[more]}`;
}

/** The IDL text, one field a line, ended by a line break. */
export function printDescription(description: Description): string {
  const head = `${comment(description.documentation, '')}interface ${description.name}\n`;
  return [head, ...description.members.map((member) => `${comment(member.documentation, '')}${printMember(member)}\n`)].join('\n');
}

function printMember(member: Member): string {
  if (member.kind === 'type') return `type ${member.name}${printShape(member.definition, '')}`;
  if (member.kind === 'error') return `error ${member.name}${printFields(member.fields, '')}`;
  return `method ${member.name}${printFields(member.input, '')} -> ${printFields(member.output, '')}`;
}

function printShape(shape: Shape, indent: string): string {
  switch (shape.kind) {
    case 'array':
      return `[]${printShape(shape.of, indent)}`;
    case 'map':
      return `[string]${printShape(shape.of, indent)}`;
    case 'nullable':
      return `?${printShape(shape.of, indent)}`;
    case 'named':
      return shape.name;
    case 'struct':
      return printFields(shape.fields, indent);
    case 'enum':
      return printList(shape.values, indent, ({ name }) => name);
    case 'string':
    case 'int':
    case 'bool':
    case 'float':
    case 'object':
    case 'any':
      return shape.kind;
  }
}

function printFields(fields: readonly FieldShape[], indent: string): string {
  return printList(fields, indent, ({ name, shape }) => `${name}: ${printShape(shape, `${indent}\t`)}`);
}

function printList<T extends { documentation: string }>(items: readonly T[], indent: string, print: (item: T) => string): string {
  if (items.length === 0) return '()';
  const inner = `${indent}\t`;
  return `(\n${items.map((item) => `${comment(item.documentation, inner)}${inner}${print(item)}`).join(',\n')}\n${indent})`;
}

function comment(documentation: string, indent: string): string {
  if (documentation === '') return '';
  return documentation
    .split('\n')
    .map((line) => `${indent}# ${line}`.trimEnd() + '\n')
    .join('');
}

/** The text is not an interface description. */
export class IdlError extends Error {
  override readonly name = 'IdlError';
}

/**
 * The description that a text holds. A comment documents what follows it, unless an empty line comes between.
 * @throws {IdlError}
 */
export function parseDescription(text: string): Description {
  return new DescriptionParser(text).parse();
}

// A comment, an empty line, a word (names have dots only in the first line), a sign, or a single wrong character.
const tokenPattern = /#[^\n]*|\n[ \t\r]*(?=\n)|[A-Za-z][A-Za-z0-9_.-]*|->|\[string\]|\[\]|[(),:?]|\S/g;
const interfaceName = /^[A-Za-z](?:-*[A-Za-z0-9])*(?:\.[A-Za-z0-9](?:-*[A-Za-z0-9])*)+$/;
const memberName = /^[A-Z][A-Za-z0-9]*$/;
const fieldName = /^[A-Za-z](?:_?[A-Za-z0-9])*$/;
const plainKinds = ['string', 'int', 'bool', 'float', 'object', 'any'] as const;
const maximumShapeDepth = 64;

class DescriptionParser {
  readonly #tokens: string[];
  #position = 0;
  #depth = 0;

  constructor(text: string) {
    this.#tokens = text.match(tokenPattern) ?? [];
  }

  parse(): Description {
    const documentation = this.#documentation();
    this.#expect('interface');
    const name = this.#name(interfaceName, 'an interface name');
    const members: Member[] = [];
    for (;;) {
      const memberDocumentation = this.#documentation();
      if (this.#position === this.#tokens.length) return { name, documentation, members };
      members.push(this.#member(memberDocumentation));
    }
  }

  #member(documentation: string): Member {
    const kind = this.#next();
    if (kind !== 'type' && kind !== 'method' && kind !== 'error') throw this.#unexpected('type, method or error');
    const name = this.#name(memberName, 'a name with a capital');
    if (kind === 'type') return { kind, name, documentation, definition: this.#definition() };
    const fields = this.#fields();
    if (kind === 'error') return { kind, name, documentation, fields };
    this.#expect('->');
    return { kind, name, documentation, input: fields, output: this.#fields() };
  }

  #fields(): readonly FieldShape[] {
    const definition = this.#definition();
    if (definition.kind === 'enum') throw this.#unexpected('fields with types');
    return definition.fields;
  }

  /** What stands in parentheses: an enum if its first item has no type, otherwise a struct. */
  #definition(): EnumShape | StructShape {
    this.#expect('(');
    const values: { name: string; documentation: string }[] = [];
    const fields: FieldShape[] = [];
    for (;;) {
      const documentation = this.#documentation();
      if (values.length + fields.length === 0 && this.#skip(')')) break;
      const name = this.#name(fieldName, 'a field name');
      if (values.length === 0 && this.#skip(':')) fields.push({ name, documentation, shape: this.#shape() });
      else if (fields.length === 0) values.push({ name, documentation });
      else throw this.#unexpected(':');
      this.#documentation();
      if (this.#skip(')')) break;
      this.#expect(',');
    }
    return values.length > 0 ? { kind: 'enum', values } : { kind: 'struct', fields };
  }

  #shape(): Shape {
    if (++this.#depth > maximumShapeDepth) throw new IdlError('A type is nested too deeply');
    const shape = this.#innerShape();
    this.#depth--;
    return shape;
  }

  #innerShape(): Shape {
    if (this.#peek() === '(') return this.#definition();
    const token = this.#next();
    if (token === '?') return { kind: 'nullable', of: this.#shape() };
    if (token === '[]') return { kind: 'array', of: this.#shape() };
    if (token === '[string]') return { kind: 'map', of: this.#shape() };
    const plain = plainKinds.find((kind) => kind === token);
    if (plain !== undefined) return { kind: plain };
    if (!memberName.test(token)) throw this.#unexpected('a type');
    return { kind: 'named', name: token };
  }

  /** Skips comments and empty lines; the comment lines directly before what follows. */
  #documentation(): string {
    let lines: string[] = [];
    for (let token = this.#tokens[this.#position]; token !== undefined; token = this.#tokens[this.#position]) {
      if (token.startsWith('#')) lines.push(token.slice(1).trim());
      else if (token.startsWith('\n')) lines = [];
      else break;
      this.#position++;
    }
    return lines.join('\n');
  }

  #peek(): string | undefined {
    while (/^[#\n]/.test(this.#tokens[this.#position] ?? '')) this.#position++;
    return this.#tokens[this.#position];
  }

  #next(): string {
    const token = this.#peek();
    if (token === undefined) throw new IdlError('The description ends too early');
    this.#position++;
    return token;
  }

  #skip(token: string): boolean {
    if (this.#peek() !== token) return false;
    this.#position++;
    return true;
  }

  #expect(token: string): void {
    if (this.#next() !== token) throw this.#unexpected(`'${token}'`);
  }

  #name(pattern: RegExp, what: string): string {
    const name = this.#next();
    if (!pattern.test(name)) throw this.#unexpected(what);
    return name;
  }

  #unexpected(expected: string): IdlError {
    return new IdlError(`'${this.#tokens[this.#position - 1] ?? ''}' is there instead of ${expected}`);
  }
}
