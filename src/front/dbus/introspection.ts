import type { Arguments, InterfaceDeclaration, PropertyDeclaration } from '../../contract/dbus/declare.js';
import { introspectionXml, type InterfaceDescription } from '../../wire/dbus/introspection.js';
import type { BoundInterface } from './objects.js';

/** The introspection data of an object: the standard interfaces, its own, and what is below it. */
export function describeNode(interfaces: readonly BoundInterface<never>[], children: readonly string[]): string {
  const own = interfaces.map((one) => describeInterface(one.declaration));
  return introspectionXml([...standardInterfaces, ...own], children);
}

function describeInterface(declaration: InterfaceDeclaration): InterfaceDescription {
  return {
    name: declaration.name,
    properties: Object.entries(declaration.properties).filter(([, property]) => !property.hidden).map(([name, property]) => ({
      name,
      type: property.type,
      access: property.set === undefined ? 'read' : 'readwrite',
      annotations: propertyAnnotations(property),
    })),
    methods: Object.entries(declaration.methods).map(([name, method]) => ({
      name,
      args: [
        ...describeArguments(method.in, 'in', method.unnamed),
        ...describeArguments(method.out, 'out', method.unnamed),
      ],
    })),
    signals: Object.entries(declaration.signals).map(([name, signal]) => ({
      name,
      args: Object.entries(signal.arguments).map(([argument, type]) => ({ name: argument, type })),
    })),
  };
}

function describeArguments(args: Arguments, direction: 'in' | 'out', unnamed: boolean) {
  return Object.entries(args).map(([name, type]) => (unnamed ? { type, direction } : { name, type, direction }));
}

function propertyAnnotations(property: PropertyDeclaration): Record<string, string> {
  const annotations: Record<string, string> = {
    'org.freedesktop.DBus.Property.EmitsChangedSignal': property.emitsChanged,
  };
  if (property.set?.kind === 'root') annotations['org.freedesktop.systemd1.Privileged'] = 'true';
  return annotations;
}

/** Source: D-Bus Specification, "Standard Interfaces". */
const standardInterfaces: readonly InterfaceDescription[] = [
  {
    name: 'org.freedesktop.DBus.Peer',
    methods: [
      { name: 'Ping', args: [] },
      { name: 'GetMachineId', args: [{ name: 'machine_uuid', type: 's', direction: 'out' }] },
    ],
    properties: [],
    signals: [],
  },
  {
    name: 'org.freedesktop.DBus.Introspectable',
    methods: [{ name: 'Introspect', args: [{ name: 'xml_data', type: 's', direction: 'out' }] }],
    properties: [],
    signals: [],
  },
  {
    name: 'org.freedesktop.DBus.Properties',
    methods: [
      {
        name: 'Get',
        args: [
          { name: 'interface_name', type: 's', direction: 'in' },
          { name: 'property_name', type: 's', direction: 'in' },
          { name: 'value', type: 'v', direction: 'out' },
        ],
      },
      {
        name: 'GetAll',
        args: [
          { name: 'interface_name', type: 's', direction: 'in' },
          { name: 'props', type: 'a{sv}', direction: 'out' },
        ],
      },
      {
        name: 'Set',
        args: [
          { name: 'interface_name', type: 's', direction: 'in' },
          { name: 'property_name', type: 's', direction: 'in' },
          { name: 'value', type: 'v', direction: 'in' },
        ],
      },
    ],
    properties: [],
    signals: [
      {
        name: 'PropertiesChanged',
        args: [
          { name: 'interface_name', type: 's' },
          { name: 'changed_properties', type: 'a{sv}' },
          { name: 'invalidated_properties', type: 'as' },
        ],
      },
    ],
  },
];
