import type { Places } from './places.js';

/** What the daemon found and does, for whoever started it from a terminal. */
export interface Findings {
  readonly version: string;
  readonly uid: number;
  readonly units: 'systemd' | 'cgroup' | 'none';
  readonly bus:
    | { readonly kind: 'system' }
    | { readonly kind: 'session' }
    | { readonly kind: 'private'; readonly address: string; readonly missing: 'system' | 'session' }
    | { readonly kind: 'none'; readonly reason: string };
  readonly polkit: boolean;
  readonly machines: number;
  readonly socket: string;
}

export function summary(findings: Findings, places: Places): string {
  const lines = [
    `machined ${findings.version}: ${findings.machines} ${findings.machines === 1 ? 'machine' : 'machines'} running`,
    `  units     ${unitsLine(findings)}`,
    `  bus       ${busLine(findings)}`,
    `  rights    ${rightsLine(findings)}`,
    `  varlink   ${findings.socket}`,
    `  state     ${places.stateDirectory}`,
    'Try, in another terminal:',
    ...suggestions(findings).map((line) => `  ${line}`),
    'Ctrl-C stops it and keeps the machines.',
  ];
  return `${lines.join('\n')}\n`;
}

function unitsLine({ units }: Findings): string {
  switch (units) {
    case 'systemd':
      return 'systemd makes the scopes of machines';
    case 'cgroup':
      return 'no systemd here: plain cgroups below machine.slice';
    case 'none':
      return 'no systemd and no cgroup to write to: machines are followed by their leader alone';
  }
}

function busLine({ bus }: Findings): string {
  switch (bus.kind) {
    case 'system':
      return 'org.freedesktop.machine1 on the system bus';
    case 'session':
      return 'org.freedesktop.machine1 on the session bus';
    case 'private':
      return `no ${bus.missing} bus here: org.freedesktop.machine1 on a bus of its own, ${bus.address}`;
    case 'none':
      return `none (${bus.reason}): Varlink alone`;
  }
}

function rightsLine({ uid, polkit }: Findings): string {
  if (uid !== 0) return `user ${uid} alone`;
  return polkit ? 'root, and whom polkit lets' : 'root alone, for there is no polkit';
}

function suggestions({ bus, socket, uid }: Findings): string[] {
  const varlink = `varlinkctl call --more ${socket} io.systemd.Machine.List '{}'`;
  switch (bus.kind) {
    case 'system':
      return ['machinectl list', varlink];
    case 'session':
      return ['machinectl --user list', varlink];
    case 'private':
      return [
        ...(uid === 0 ? ['machined run machinectl list'] : []),
        `DBUS_SYSTEM_BUS_ADDRESS=${bus.address} busctl tree org.freedesktop.machine1`,
        varlink,
      ];
    case 'none':
      return [varlink];
  }
}
