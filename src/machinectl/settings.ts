export type JsonForm = 'off' | 'short' | 'pretty';

/** Tables can be a server-sent event, or part of a sequence of JSON texts (RFC 7464), too. */
export type TableForm = JsonForm | 'sse' | 'seq';

/** What the options of a command line say; each has its default. */
export interface Settings {
  /** user@host:port/container of another host, or a container of this one. */
  host: string | undefined;
  machine: string | undefined;
  scope: 'system' | 'user';
  all: boolean;
  full: boolean;
  quiet: boolean;
  legend: boolean;
  pager: boolean;
  askPassword: boolean;
  /** How to print what is no table (--json). */
  json: JsonForm;
  /** How to print tables: --output=json means these, too. */
  tableJson: TableForm;
  /** Empty: all. */
  properties: string[];
  /** Only the values of properties, not their names. */
  valueOnly: boolean;
  /** Whom signals go to: 'leader', 'supervisor', 'all'; the registry's own default if undefined. */
  killWhom: string | undefined;
  signal: number;
  uid: string | undefined;
  /** NAME=VALUE each, for a shell. */
  environment: string[];
  readOnly: boolean;
  mkdir: boolean;
  /** Of the journal. */
  lines: number;
  journalFormat: string;
  /** 'all' for no limit. */
  maximumAddresses: number | 'all';
  force: boolean;
  now: boolean;
  runner: 'nspawn' | 'vmspawn';
  /** Of a machine that is registered. */
  machineClass: 'container' | 'vm';
  /** Milliseconds that something may take; undefined for as long as it likes. */
  timeout: number | undefined;
  /** Handed on to importctl. */
  verify: string | undefined;
  format: string | undefined;
}

const SIGTERM = 15;

export function defaultSettings(): Settings {
  return {
    host: undefined, machine: undefined, scope: 'system',
    all: false, full: false, quiet: false, legend: true, pager: true, askPassword: true, json: 'off', tableJson: 'off',
    properties: [], valueOnly: false,
    killWhom: undefined, signal: SIGTERM,
    uid: undefined, environment: [], readOnly: false, mkdir: false,
    lines: 10, journalFormat: 'short', maximumAddresses: 1,
    force: false, now: false, runner: 'nspawn', machineClass: 'container', timeout: undefined, verify: undefined, format: undefined,
  };
}
