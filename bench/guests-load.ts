/** What is measured of guests, inside the host. The plan is the first argument, in JSON: GuestsPlan. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, read } from 'node:fs';
import { promisify } from 'node:util';
import { bootedGuests, crowdGuests, type GuestsPlan } from './plan.js';
import { duration, latency, runInside, type Session } from './inside.js';
import { expectMachines } from './daemon.js';
import type { Figure } from './figures.js';
import { median } from './statistics.js';
import { repeat, timed } from './timing.js';

const source = '/run/bench/source';
const manager = {
  destination: 'org.freedesktop.machine1', path: '/org/freedesktop/machine1', interface: 'org.freedesktop.machine1.Manager',
} as const;
const guests = [
  { name: bootedGuests.host, subject: 'host’s users' },
  { name: bootedGuests.own, subject: 'own users' },
] as const;
type Guest = (typeof guests)[number];

async function measure(plan: GuestsPlan, session: Session): Promise<readonly Figure[]> {
  await expectMachines(guests.length + crowdGuests);
  const figures: Figure[] = [];
  for (const guest of guests) figures.push(...(await measureLooks(plan, session, guest)));
  for (const guest of guests) figures.push(await measureShells(plan, session, guest));
  for (const guest of guests) figures.push(...(await measureMounts(plan, session, guest)));
  for (const guest of guests) figures.push(...(await measureCopies(session, guest)));
  figures.push(...(await measureTails(plan, session)));
  // the other daemon measures other things, but the same order is easier to read
  const order = new Map(figures.map(({ operation }, index) => [operation, index]));
  return figures.sort((one, other) => (order.get(one.operation) ?? 0) - (order.get(other.operation) ?? 0));
}

async function measureLooks({ duration: time }: GuestsPlan, { client, daemon }: Session, { name, subject }: Guest): Promise<Figure[]> {
  const look = (member: string) => () => client.call({ member, signature: 's', body: [name] });
  const [addresses] = (await look('GetMachineAddresses')()).body();
  if (JSON.stringify(addresses).length < '[[2,[192,0,2,7]]]'.length) throw new Error(`${name} has no addresses`);
  const figures: Figure[] = [];
  for (const operation of ['GetMachineAddresses', 'GetMachineOSRelease']) {
    figures.push(await latency(daemon, { operation, subject }, time, look(operation)));
  }
  return figures;
}

async function measureShells({ repetitions }: GuestsPlan, { bus, daemon }: Session, { name, subject }: Guest): Promise<Figure> {
  const open = async () => {
    const body: [string, string, string, string[], string[]] = [name, 'root', '/bin/sh', ['/bin/sh', '-c', 'echo ready'], []];
    const { fds } = await bus.callForDescriptors({
      ...manager, member: 'OpenMachineShell', signature: 'sssasas', body, replySignature: 'hs', timeout: 30_000,
    });
    const terminal = fds[0] as number;
    try {
      const { bytesRead } = await promisify(read)(terminal, Buffer.alloc(1), 0, 1, null);
      if (bytesRead !== 1) throw new Error('the shell says nothing');
    } finally {
      closeSync(terminal);
    }
  };
  await open();
  const before = daemon.processorTimeWithChildren();
  const times: number[] = [];
  for (let repetition = 0; repetition < repetitions; repetition++) {
    times.push(await timed(open));
    await settled(name);
  }
  const processor = (daemon.processorTimeWithChildren() - before) / repetitions;
  return { operation: 'shell → first byte', subject, unit: 'ms', value: (median(times) ?? 0) / 1000, processor };
}

/** The session of the last shell is not to be in the way of the next. */
async function settled(name: string): Promise<void> {
  const scopes = `systemctl --machine=${name} --state=active,activating,deactivating --plain --no-legend list-units 'container-shell@*'`;
  while (execFileSync('sh', ['-c', scopes], { encoding: 'utf8' }).trim() !== '') await new Promise((resolve) => setTimeout(resolve, 20));
}

/** The original refuses where the guest has users of its own. */
async function measureMounts({ daemon: which, repetitions }: GuestsPlan, { client, daemon }: Session, { name, subject }: Guest): Promise<Figure[]> {
  if (which === 'real' && name === bootedGuests.own) return [];
  const times: number[] = [];
  const mount = (number: number) =>
    client.call({ member: 'BindMountMachine', signature: 'sssbb', body: [name, `${source}/tree`, `/mnt/${number}`, false, true] });
  await mount(0);
  const before = daemon.processorTimeWithChildren();
  for (let number = 1; number <= repetitions; number++) times.push(await timed(() => mount(number)));
  const processor = (daemon.processorTimeWithChildren() - before) / repetitions;
  inside(name, 'for place in /mnt/*; do umount "$place"; rmdir "$place"; done');
  return [{ operation: 'bind mount', subject, unit: 'µs', value: median(times) ?? 0, processor }];
}

/** Onto the disk of the guest, and from there into memory. What is to be written is written before, and not measured. */
async function measureCopies({ client, daemon }: Session, { name, subject }: Guest): Promise<Figure[]> {
  const copy = (direction: 'From' | 'To', from: string, to: string) => async () => {
    await client.call({ member: `Copy${direction}Machine`, signature: 'sss', body: [name, from, to] });
  };
  const figures: Figure[] = [];
  for (const [what, file] of [['15,000 files', 'tree'], ['1 GiB file', 'file']] as const) {
    run('sync');
    figures.push(await duration(daemon, { operation: `copy of ${what} to it`, subject }, copy('To', `${source}/${file}`, '/var/copied')));
    run('sync');
    figures.push(await duration(daemon, { operation: `copy of ${what} from it`, subject }, copy('From', '/var/copied', `${source}/back`)));
    run(`diff -r ${source}/${file} ${source}/back; rm -r ${source}/back`);
    inside(name, 'rm -r /var/copied');
  }
  return figures;
}

async function measureTails({ tailDuration }: GuestsPlan, { client }: Session): Promise<Figure[]> {
  const probe = () => client.call({ member: 'GetMachine', signature: 's', body: [bootedGuests.host] });
  await repeat(probe, 1, tailDuration / 4);
  const quiet = await repeat(probe, 1, tailDuration);
  const crowd = spawn(process.execPath, [new URL('./crowd.js', import.meta.url).pathname], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(crowd, 'exit');
  await once(crowd.stdout, 'data'); // all of them have begun
  const busy = await repeat(probe, 1, tailDuration);
  crowd.stdin.end();
  const [status] = (await ended) as [number | null];
  if (status !== 0) throw new Error('the crowd has failed');
  return [...tails('GetMachine, nothing else', quiet), ...tails('GetMachine, 200 looks under way', busy)];
}

function tails(operation: string, latencies: readonly number[]): Figure[] {
  const sorted = [...latencies].sort((one, other) => one - other);
  const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
  return ([['p50', 0.5], ['p99', 0.99], ['max', 1]] as const).map(([subject, part]) => ({ operation, subject, unit: 'µs', value: at(part) }));
}

function inside(name: string, script: string): void {
  const leader = execFileSync('machinectl', ['show', name, '--property=Leader', '--value'], { encoding: 'utf8' }).trim();
  execFileSync('nsenter', ['--all', '--target', leader, 'sh', '-ec', script]);
}

function run(script: string): void {
  execFileSync('sh', ['-ec', script]);
}

await runInside(measure);
