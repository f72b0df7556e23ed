/** Values by annotation name: { 'org.freedesktop.DBus.Property.EmitsChangedSignal': 'const' }. */
export type Annotations = Readonly<Record<string, string>>;

export interface ArgumentDescription {
  readonly name?: string | undefined;
  /** One complete type. */
  readonly type: string;
  readonly direction: 'in' | 'out';
}

export interface MethodDescription {
  readonly name: string;
  readonly args: readonly ArgumentDescription[];
  readonly annotations?: Annotations | undefined;
}

export interface PropertyDescription {
  readonly name: string;
  readonly type: string;
  readonly access: 'read' | 'write' | 'readwrite';
  readonly annotations?: Annotations | undefined;
}

export interface SignalDescription {
  readonly name: string;
  readonly args: readonly { readonly name?: string | undefined; readonly type: string }[];
  readonly annotations?: Annotations | undefined;
}

export interface InterfaceDescription {
  readonly name: string;
  readonly methods: readonly MethodDescription[];
  readonly properties: readonly PropertyDescription[];
  readonly signals: readonly SignalDescription[];
}

const documentType = `<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"
"https://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">
`;

/**
 * The XML that describes an object: its interfaces, and the names of the nodes right below it. Format: D-Bus
 * Specification, "Introspection Data Format".
 */
export function introspectionXml(interfaces: readonly InterfaceDescription[], children: readonly string[]): string {
  const content = [...interfaces.map(describeInterface), ...children.map((name) => element('node', { name }))];
  return `${documentType}${print(element('node', {}, content), '')}`;
}

/** An XML element whose content is elements only. */
interface Element {
  readonly tag: string;
  readonly attributes: Readonly<Record<string, string | undefined>>;
  readonly content: readonly Element[];
}

function element(tag: string, attributes: Element['attributes'], content: readonly Element[] = []): Element {
  return { tag, attributes, content };
}

function describeInterface(description: InterfaceDescription): Element {
  return element('interface', { name: description.name }, [
    ...description.properties.map(describeProperty),
    ...description.methods.map(describeMethod),
    ...description.signals.map(describeSignal),
  ]);
}

function describeProperty({ name, type, access, annotations }: PropertyDescription): Element {
  return element('property', { name, type, access }, describeAnnotations(annotations));
}

function describeMethod({ name, args, annotations }: MethodDescription): Element {
  const content = args.map((arg) => element('arg', { type: arg.type, name: arg.name, direction: arg.direction }));
  return element('method', { name }, [...content, ...describeAnnotations(annotations)]);
}

function describeSignal({ name, args, annotations }: SignalDescription): Element {
  const content = args.map((arg) => element('arg', { type: arg.type, name: arg.name }));
  return element('signal', { name }, [...content, ...describeAnnotations(annotations)]);
}

function describeAnnotations(annotations: Annotations = {}): readonly Element[] {
  return Object.entries(annotations).map(([name, value]) => element('annotation', { name, value }));
}

function print({ tag, attributes, content }: Element, indentation: string): string {
  const written = Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => ` ${name}="${escapeXml(value!)}"`)
    .join('');
  if (content.length === 0) return `${indentation}<${tag}${written}/>\n`;
  const inner = content.map((child) => print(child, `${indentation} `)).join('');
  return `${indentation}<${tag}${written}>\n${inner}${indentation}</${tag}>\n`;
}

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

function escapeXml(text: string): string {
  return text.replace(/[&<>"]/g, (character) => entities[character]!);
}
