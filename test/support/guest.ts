/** Guests to look into and to reach into: real namespaces, which take root. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import assert from 'node:assert/strict';
import { isFailure } from '../../src/domain/failure.js';
import type { ProcessIdentity } from '../../src/domain/machine.js';
import { ordinaryLimits, type HelperLimits } from '../../src/host/guests/helper-pool.js';
import { KernelGuests } from '../../src/host/guests/kernel-guests.js';
import { close } from '../../src/host/kernel/libc.js';
import { openPidfd, pidfdIdOf } from '../../src/host/kernel/pidfd.js';
import type { Log } from '../../src/ports/log.js';

export class Warnings implements Pick<Log, 'warning'> {
  readonly warnings: string[] = [];
  warning(message: string): void {
    this.warnings.push(message);
  }
}

export interface Look extends Disposable {
  readonly guests: KernelGuests;
  readonly log: Warnings;
  /** Where mounts and copies are remembered. */
  readonly directory: string;
  /** As the next daemon would see them; the caller disposes of it. */
  restart(): KernelGuests;
}

export function look(limits: Partial<HelperLimits> = {}): Look {
  const log = new Warnings();
  const directory = mkdtempSync(path.join(tmpdir(), 'machined-records-'));
  const start = () => new KernelGuests(log as unknown as Log, directory, { ...ordinaryLimits, answer: 30_000, ...limits });
  const guests = start();
  return {
    guests,
    log,
    directory,
    restart: start,
    [Symbol.dispose]: () => {
      guests[Symbol.dispose]();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

export function failsWith(errno: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(isFailure(error, 'system'), String(error));
    assert.equal(error.errno, errno, error.message);
    return true;
  };
}

export function identify(pid: number): ProcessIdentity {
  const pidfd = openPidfd(pid);
  try {
    return { pid, pidfdId: pidfdIdOf(pidfd) };
  } finally {
    close(pidfd);
  }
}

/** A process with a root directory, a mount and a network namespace of its own, and a /usr and /etc that start empty. */
export class Guest implements Disposable {
  readonly root: string;
  readonly leader: ProcessIdentity;
  readonly #child: ChildProcess;

  constructor(child: ChildProcess, root: string) {
    this.#child = child;
    this.root = root;
    this.leader = identify(child.pid as number);
  }

  static async start({ userNamespace = false } = {}): Promise<Guest> {
    const root = mkdtempSync(path.join(tmpdir(), 'machined-guest-'));
    execFileSync('chmod', ['755', root]);
    for (const name of ['usr', 'etc', 'proc']) mkdirSync(path.join(root, name));
    for (const name of ['bin', 'lib', 'lib64']) symlinkSync(`usr/${name}`, path.join(root, name));
    // the host's programs are only needed until the leader runs
    const script = `set -e
      mount --rbind /usr "$1/usr"
      mount --rbind /proc "$1/proc"
      exec chroot "$1" /usr/bin/sleep infinity`;
    const flags = ['--mount', '--net'];
    const holder = userNamespace ? await Guest.#userNamespace() : undefined;
    const program = holder === undefined ? ['unshare', ...flags] : ['nsenter', '-t', String(holder.pid), '--user', ...flags];
    const child = spawn(program[0] as string, [...program.slice(1), 'sh', '-c', script, 'sh', root], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    // it has loaded what it needs of /usr, which is about to be hidden
    await until(() => /libc[.-]/.test(readFileSync(`/proc/${child.pid}/maps`, 'utf8')) && isSleeping(child.pid as number));
    holder?.kill('SIGKILL');
    const guest = new Guest(child, root);
    guest.inside('mount -t tmpfs tmpfs "$1/usr"; mkdir "$1/usr/lib"');
    return guest;
  }

  /** A process that keeps namespaces, whose root user is somebody else in the host. */
  static async #userNamespace(): Promise<ChildProcess> {
    const holder = spawn('unshare', ['--user', '--mount', '--net', 'sleep', 'infinity'], { stdio: 'ignore' });
    await until(() => readFileSync(`/proc/${holder.pid}/cmdline`, 'utf8').startsWith('sleep'));
    for (const map of ['uid_map', 'gid_map']) writeFileSync(`/proc/${holder.pid}/${map}`, '0 1000000 65536\n');
    return holder;
  }

  /** Runs a shell script with the host's programs in the guest's mount and network namespaces; "$1" is its root. */
  inside(script: string): string {
    const pid = String(this.leader.pid);
    return execFileSync('nsenter', ['-t', pid, '--mount', '--net', '-w/', 'sh', '-ec', script, 'sh', this.root], { encoding: 'utf8' });
  }

  /** The same, going on until it is ended. */
  spawn(script: string): { said(line: string): Promise<void>; end(): Promise<void> } {
    const pid = String(this.leader.pid);
    const child = spawn('nsenter', ['-t', pid, '--mount', '--net', '-w/', 'sh', '-ec', script, 'sh', this.root], {
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true,
    });
    let output = '';
    child.stdout.on('data', (bytes: Buffer) => (output += bytes.toString()));
    return {
      said: (line) => until(() => output.split('\n').includes(line)),
      end: async () => {
        process.kill(-(child.pid as number), 'SIGKILL');
        await until(() => child.signalCode !== null && !existsSync(`/proc/${child.pid}`));
      },
    };
  }

  file(name: string): string {
    return path.join(this.root, name);
  }

  async end(): Promise<void> {
    this.#child.kill('SIGKILL');
    await until(() => this.#child.signalCode !== null);
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
    rmSync(this.root, { recursive: true });
  }
}

export async function until(probe: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 30_000; !probe(); await sleep(5)) {
    if (Date.now() > deadline) throw new Error(`did not come true: ${String(probe)}`);
  }
}

/** Runs sleep(1), and has come to sleep. */
function isSleeping(pid: number): boolean {
  const [program, state] = ['cmdline', 'status'].map((file) => readFileSync(`/proc/${pid}/${file}`, 'utf8'));
  return program?.startsWith('/usr/bin/sleep') === true && /^State:\tS/m.test(state ?? '');
}

/** PIDs of the helpers that a process has started. */
export function helpersOf(pid: number): string[] {
  const children = execFileSync('sh', ['-c', `cat /proc/${pid}/task/*/children`], { encoding: 'utf8' });
  return children.split(' ').filter((child) => {
    return existsSync(`/proc/${child}/cmdline`) && readFileSync(`/proc/${child}/cmdline`, 'utf8').includes('guest-helper.js');
  });
}
