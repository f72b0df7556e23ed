/** The bus itself, as whom calls are sent to. D-Bus Specification, "Message Bus Messages". */
export const bus = {
  destination: 'org.freedesktop.DBus',
  path: '/org/freedesktop/DBus',
  interface: 'org.freedesktop.DBus',
} as const;
