import assert from 'node:assert/strict';
import { test } from 'node:test';
import { busTarget } from '../../src/machinectl/bus-address.js';
import { readCommandLine } from '../../src/machinectl/command-line.js';
import { CommandFailure, Finished } from '../../src/machinectl/failure.js';
import { formatHelp } from '../../src/machinectl/help.js';
import { optionTable } from '../../src/machinectl/options.js';
import { Output } from '../../src/machinectl/output.js';
import { defaultSettings, type Settings } from '../../src/machinectl/settings.js';
import { LeaveKey } from '../../src/machinectl/terminal-session.js';
import { readSpecification } from '../../src/machinectl/verbs/shell.js';
import { endOptions, findVerb, similarVerb, verbs } from '../../src/machinectl/verbs.js';

function stop(): never {
  throw new Finished();
}

const options = optionTable({ help: stop, version: stop });

function read(...line: readonly string[]): { readonly words: readonly string[]; readonly settings: Settings } {
  const settings = defaultSettings();
  const output = new Output({});
  const words = readCommandLine('machinectl', options, line, {
    option: (option, argument) => option.apply(settings, argument ?? '', output),
    endsOptions: ([name = '', ...rest]) => name === 'run-in' && rest.length === 1,
  });
  return { words, settings };
}

function refuses(line: readonly string[], message: string): void {
  assert.throws(() => read(...line), new CommandFailure(message));
}

test('options stand anywhere, and may be shortened and put together', () => {
  const { words, settings } = read('show', '-al', 'web', '-n5', '--lines', '7', '-p', 'Name', '--property=Class', '--no-l');
  assert.deepEqual(words, ['show', 'web']);
  assert.equal(settings.full, true);
  assert.equal(settings.lines, 7);
  assert.equal(settings.legend, false);
  assert.deepEqual(settings.properties, ['Name', 'Class']);
  assert.equal(settings.valueOnly, false);
  assert.equal(read('-P', 'Name').settings.valueOnly, true);
});

test('-- ends the options, and so does the machine of a command line that is run there', () => {
  assert.deepEqual(read('-q', '--', '-l', '--nonsense').words, ['-l', '--nonsense']);
  const { words, settings } = read('run-in', '-q', 'web', '/bin/ls', '-l', '--nonsense');
  assert.deepEqual(words, ['run-in', 'web', '/bin/ls', '-l', '--nonsense']);
  assert.equal(settings.quiet, true);
  assert.equal(settings.full, false);
});

test('mistakes are worded as by the original', () => {
  refuses(['--foo'], "machinectl: unrecognized option '--foo'");
  refuses(['-z'], "machinectl: unrecognized option '-z'");
  refuses(['--ma=3'], "machinectl: option '--ma' is ambiguous; possibilities: --machine, --max-addresses");
  refuses(['--mkdir=x'], "machinectl: option '--mkdir' doesn't allow an argument");
  refuses(['-E'], "machinectl: option '-E' requires an argument");
  refuses(['--uid'], "machinectl: option '--uid' requires an argument");
  refuses(['-n', 'x'], "Failed to parse lines 'x'");
  refuses(['-o', 'foo'], "Unknown output 'foo'.");
  refuses(['--max-addresses=-1'], 'Invalid number of addresses: -1');
  refuses(['--runner=x'], 'Failed to parse --runner= setting: x');
  refuses(['-E', '=x'], 'Cannot assign environment variable =x: Invalid argument');
  refuses(['--verify=x'], 'Failed to parse --verify= setting: x');
  refuses(['--format=x'], 'Unknown format: x');
  refuses(['-s', 'FOO'], 'Failed to parse signal string "FOO".');
  refuses(['--prop'], "machinectl: option '--prop' requires an argument");
  refuses(['--mkd=x'], "machinectl: option '--mkd' doesn't allow an argument");
  refuses(['--=x'], "machinectl: unrecognized option '--'");
});

test('two spellings of one option are not ambiguous', () => {
  assert.equal(read('--kill=leader').settings.killWhom, 'leader');
  assert.equal(read('--kill-who=leader').settings.killWhom, 'leader');
  refuses(['--k'], "machinectl: option '--k' requires an argument");
});

test('numbers may be written as in C', () => {
  const written = ['7', '+7', '\t7', '0x7', '0X7', '0b111', '0o7', '07'];
  assert.deepEqual(written.map((text) => read('-n', text).settings.lines), written.map(() => 7));
  assert.equal(read('-n', '011').settings.lines, 9);
  assert.equal(read('-n', '4294967295').settings.lines, 0xffff_ffff);
  assert.ok(Object.is(read('--max-addresses=-0').settings.maximumAddresses, 0));
  for (const text of ['', '7 ', '-7', '08', '0x', '0b2', '7e1', '7.0', '+ 7', '4294967296', '٣', 'all']) refuses(['-n', text], `Failed to parse lines '${text}'`);
});

test('signals by name, number and place', () => {
  const numbers = { TERM: 15, SIGTERM: 15, CHLD: 17, IO: 29, 9: 9, ' +9': 9, '0x9': 9, '011': 9, RTMIN: 34, 'SIGRTMIN+4': 38, 'RTMIN+0x4': 38, 'RTMAX-1': 63 };
  for (const [text, number] of Object.entries(numbers)) assert.equal(read('-s', text).settings.signal, number, text);
  for (const text of ['', '0', '-9', '65', '09', 'IOT', 'POLL', 'sigterm', 'RTMIN-1', 'RTMAX+1', 'RTMIN+', 'RTMIN+ 3', 'RTMIN4', 'SIG9', 'constructor']) {
    refuses(['-s', text], `Failed to parse signal string "${text}".`);
  }
});

test('who asks for a property sees it even if it is empty, and no more machines for it', () => {
  const { settings } = read('list', '-p', 'Service');
  assert.equal(settings.all, false);
  assert.deepEqual(settings.properties, ['Service']);
});

test('--output=json is for tables, --json for everything', () => {
  assert.equal(read('-o', 'json').settings.tableJson, 'short');
  assert.equal(read('-o', 'json-pretty').settings.tableJson, 'pretty');
  assert.equal(read('-o', 'json').settings.json, 'off');
  assert.equal(read('--json=pretty').settings.json, 'pretty');
  assert.equal(read('--json=pretty').settings.tableJson, 'pretty');
});

test('variables of a shell: the last value counts, a name alone takes this process’s own', (context) => {
  process.env['MACHINECTL_TEST'] = 'mine';
  context.after(() => delete process.env['MACHINECTL_TEST']);
  const { settings } = read('-E', 'A=1', '-E', 'B=x=y', '-E', 'A=2', '-E', 'MACHINECTL_TEST', '-E', 'MACHINECTL_TEST_NONE');
  assert.deepEqual(settings.environment, ['B=x=y', 'A=2', 'MACHINECTL_TEST=mine']);
});

test('behind the name of a program, options are its own', () => {
  assert.equal(endOptions(['shell']), false);
  assert.equal(endOptions(['shell', 'root@web']), false, 'options of ours may follow the machine');
  assert.equal(endOptions(['shell', 'root@web', '/bin/ls']), true);
  assert.equal(endOptions(['exec', 'web', 'ls']), true);
  assert.equal(endOptions(['status', 'one', 'two', 'three']), false);
});

test('verbs and what was probably meant', () => {
  assert.equal(findVerb('stop')?.name, 'poweroff');
  assert.equal(findVerb('restart')?.name, 'reboot');
  assert.equal(findVerb('foo'), undefined);
  assert.equal(similarVerb('lis'), 'list');
  assert.equal(similarVerb('statsu'), 'status');
  assert.deepEqual(['', 's', 'st', 'ter', 'image'].map(similarVerb), ['cat', 'show', 'stop', 'terminate', 'image-status']);
  assert.equal(similarVerb('something-else-entirely'), undefined);
});

test('every verb can be loaded, and says how many arguments it takes', async () => {
  const names = verbs.flatMap((verb) => [verb.name, ...(verb.aliases ?? [])]);
  assert.equal(new Set(names).size, names.length);
  for (const verb of verbs) {
    assert.ok(verb.minimum <= verb.maximum, verb.name);
    assert.equal(typeof (await verb.load()).run, 'function', verb.name);
  }
});

test('the help fits the terminal', () => {
  for (const columns of [60, 80, 100, 200]) {
    const help = formatHelp(verbs, options, new Output({ COLUMNS: String(columns) }));
    for (const line of help.split('\n')) assert.ok(line.trimEnd().length <= columns, `${columns}: ${line}`);
    for (const verb of verbs) assert.ok(verb.group === 'unlisted' || help.includes(`  ${verb.name === 'list' ? '[list]' : verb.name}`), verb.name);
  }
});

function address(line: readonly string[], environment: Readonly<Record<string, string>> = {}): string {
  return busTarget(read(...line).settings, environment).address;
}

test('the way to the bus', () => {
  assert.equal(address([]), 'unix:path=/run/dbus/system_bus_socket;unix:path=/run/machined/bus');
  assert.equal(address(['-M', '.host']), address([]));
  assert.equal(address([], { DBUS_SYSTEM_BUS_ADDRESS: 'unix:path=/x' }), 'unix:path=/x');
  assert.equal(address(['--user'], { XDG_RUNTIME_DIR: '/run/user/1' }), 'unix:path=/run/user/1/bus;unix:path=/run/user/1/machined/bus');
  assert.equal(address(['-H', 'host']), 'unixexec:path=ssh,argv1=-xT,argv2=--,argv3=host,argv4=systemd-stdio-bridge');
  assert.equal(
    address(['-H', 'u@host:22/web'], { SYSTEMD_SSH: '/opt/ssh' }),
    'unixexec:path=/opt/ssh,argv1=-xT,argv2=-p,argv3=22,argv4=--,argv5=u%40host,argv6=systemd-stdio-bridge,argv7=--machine%3dweb',
  );
  assert.match(address(['-H', '[::1]:22']), /argv5=%3a%3a1,/);
  assert.equal(address(['-H', '-oProxyCommand=x']), 'unixexec:path=ssh,argv1=-xT,argv2=--,argv3=-oProxyCommand%3dx,argv4=systemd-stdio-bridge');
  assert.equal(address(['-H', 'host:web']), address(['-H', 'host/web']));
  assert.equal(address(['-H', 'u@[::1]x:22/web']), address(['-H', '[u@::1]:22/web']));
  assert.match(address(['-H', 'u@:22']), /argv5=u%40,/);
  for (const container of ['', '.host', 'a/b', 'a b', '../x']) assert.equal(address(['-H', `host/${container}`]), address(['-H', 'host']), container);
  assert.equal(address(['-H', '']), 'unixexec:path=ssh,argv1=-xT,argv2=--,argv3=,argv4=systemd-stdio-bridge');
  assert.equal(
    address(['-M', 'testuser@.host']),
    'unixexec:path=setpriv,argv1=--reuid%3dtestuser,argv2=--regid%3dtestuser,argv3=--init-groups,argv4=systemd-stdio-bridge',
  );
});

test('ways that lead nowhere', () => {
  const failure = (line: readonly string[], message: string): void => {
    assert.throws(() => address(line), new CommandFailure(message));
  };
  failure(['-M', ''], 'Failed to connect to system scope bus via machine transport: Invalid argument');
  failure(['-M', 'a b'], 'Failed to connect to system scope bus via machine transport: Invalid argument');
  failure(['-M', '../etc'], 'Failed to connect to system scope bus via machine transport: Invalid argument');
  failure(['-M', 'no-such-machine-here'], 'Failed to connect to system scope bus via machine transport: Host is down');
  for (const host of ['u@', '@', 'h:x/y', 'a@b@c', '::1', '[::1', 'h:', 'h:1:2', 'h:/c', 'h:a b']) {
    failure(['-H', host], 'Failed to connect to system scope bus via remote transport: Invalid argument');
  }
  failure(['--user', '-H', 'x'], 'Failed to connect to user scope bus via remote transport: Operation not supported');
});

test('^] three times within a second leaves a session', () => {
  const key = (text: string) => Buffer.from(text.replaceAll(']', '\x1d'));
  const fresh = () => new LeaveKey();
  assert.equal(fresh().pressed(key(']]]'), 0), true);
  assert.equal(fresh().pressed(key('a]]b]'), 0), false);
  const slowly = fresh();
  assert.deepEqual([0, 600, 1200, 1400].map((now) => slowly.pressed(key(']'), now)), [false, false, false, false]);
  const quickly = fresh();
  assert.deepEqual([5000, 5400, 5900].map((now) => quickly.pressed(key(']'), now)), [false, false, true]);
  const interrupted = fresh();
  assert.deepEqual([']]', 'x', ']'].map((text) => interrupted.pressed(key(text), 0)), [false, false, false]);
});

test('whose shell on which machine', () => {
  assert.deepEqual(readSpecification('', 'u'), { user: 'u', machine: '.host' });
  assert.deepEqual(readSpecification('web', ''), { user: '', machine: 'web' });
  assert.deepEqual(readSpecification('root@web', 'u'), { user: 'root', machine: 'web' });
  assert.deepEqual(readSpecification('u@', ''), { user: 'u', machine: '.host' });
  assert.throws(() => readSpecification('@web', ''), new CommandFailure('Failed to parse machine specification: Invalid argument'));
});
