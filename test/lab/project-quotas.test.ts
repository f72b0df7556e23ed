/**
 * Project quotas, which kernels are often built without: User Mode Linux has them, a kernel that runs as a process of this
 * machine. It sees this machine's files, read-only, and brings its own quota modules.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, realpathSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const kernel = '/usr/bin/linux.uml';
const modules = '/usr/lib/uml/modules';
const program = (name: string) => fileURLToPath(new URL(`./inside/${name}.js`, import.meta.url));
const longest = 300_000;

/** Process 1. Nothing of this machine's may hide behind what it mounts; the last line ends the kernel. */
function initScript(quotaModules: readonly string[]): string {
  const node = process.execPath;
  return `#!/bin/bash
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc && { [[ -b /dev/ubdb ]] || mount -t devtmpfs dev /dev; } && mount -t tmpfs run /run && mkdir /run/ext4 /run/xfs &&
  '${node}' '${program('load-modules')}' ${quotaModules.join(' ')} &&
  mount -o prjquota /dev/ubdb /run/ext4 && mount -o prjquota /dev/ubdc /run/xfs &&
  '${node}' --enable-source-maps --test-reporter=tap '${program('project-quotas')}' /run/ext4 /run/xfs
echo "all ended with status $?"
echo o >/proc/sysrq-trigger
sleep infinity
`;
}

/** Returns what it has written. */
async function boot(directory: string, init: string): Promise<string> {
  const parameters = [
    'mem=512M', 'root=/dev/root', 'rootfstype=hostfs', 'rootflags=/', 'ro', `init=${init}`, 'quiet', 'con=null', 'con0=fd:0,fd:1',
    `uml_dir=${directory}/`, `ubd1=${directory}/ext4`, `ubd2=${directory}/xfs`,
  ];
  const child = spawn(kernel, parameters, { detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const timer = setTimeout(() => process.kill(-(child.pid ?? 0), 'SIGKILL'), longest);
  const output: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes: Buffer) => output.push(bytes));
  try {
    await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve));
  } finally {
    clearTimeout(timer);
  }
  return Buffer.concat(output).toString();
}

const obstacle = existsSync(kernel) ? false : 'user-mode-linux is not installed';

test('plain directories are limited on ext4 and xfs', { skip: obstacle, timeout: 2 * longest }, async () => {
  const directory = realpathSync(mkdtempSync(path.join(tmpdir(), 'machined-quotas-')));
  try {
    for (const [name, size] of [['ext4', 64 << 20], ['xfs', 320 << 20]] as const) {
      writeFileSync(path.join(directory, name), '');
      truncateSync(path.join(directory, name), size);
    }
    execFileSync('mkfs.ext4', ['-q', '-O', 'project,quota', '-E', 'quotatype=prjquota', path.join(directory, 'ext4')]);
    execFileSync('mkfs.xfs', ['-q', path.join(directory, 'xfs')]);
    const [version = ''] = readdirSync(modules);
    const quotaModules = ['quota_tree', 'quota_v2'].map((name) => `${modules}/${version}/kernel/fs/quota/${name}.ko`);
    const init = path.join(directory, 'init');
    writeFileSync(init, initScript(quotaModules), { mode: 0o755 });
    const output = await boot(directory, init);
    assert.match(output, /^all ended with status 0\r?$/m, output);
    assert.match(output, /^# pass 6\r?$/m, output);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
