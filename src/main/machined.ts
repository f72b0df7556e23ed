import { readFileSync } from 'node:fs';
import { openNotifier, startWatchdog, takeWatchdogInterval } from '../host/kernel/notify.js';
import { ServiceLog } from '../host/kernel/journal.js';
import { growDescriptorTable, raiseOpenFilesLimit } from '../host/kernel/limits.js';
import { keepMemorySmall } from '../host/kernel/memory.js';
import { makePrivateDirectory } from '../host/private-directory.js';
import { privateBusAddress } from '../host/private-bus.js';
import { takePassedDescriptors } from '../host/kernel/socket-activation.js';
import { logLevelNames, logTargets, type Log, type LogLevel } from '../ports/log.js';
import { startDaemon } from './daemon.js';
import { readCommandLine } from './options.js';
import { placesOf, runtimeDirectory, type Scope } from './places.js';
import { runAgainst } from './run-against.js';
import { summary } from './summary.js';
import { keepNurserySmall, withoutOptimizer } from './v8-flags.js';

const usualLevel: LogLevel = 6;
/** Enough for a thousand machines and more, each with two processes, in 32 KiB of the kernel's memory. */
const usualDescriptors = 4096;

/** The program. `words` is the command line without the program's name. */
export async function main(words: readonly string[]): Promise<void> {
  const version = readVersion();
  const request = readCommandLine(words, version);
  if (request.kind === 'print') {
    (request.status === 0 ? process.stdout : process.stderr).write(request.text);
    process.exitCode = request.status;
    return;
  }
  const uid = process.geteuid?.() ?? 0;
  if (request.kind === 'run') {
    process.exitCode = runAgainst(privateBusAddress(placesOf('system', uid, process.env).busDirectory), uid, request.command);
    return;
  }
  const log = openLog();
  process.on('uncaughtException', (error) => {
    // A bug. What it left half done is not known, so the state files are what to begin with again.
    log.write(2, `Stopping because of an unexpected error: ${error.stack ?? error.message}`);
    process.exit(1);
  });
  try {
    keepNurserySmall();
    await withoutOptimizer(() => serve(version, request.scope, uid, log));
  } catch (error) {
    log.error(`Cannot start: ${error instanceof Error ? error.message : String(error)}`);
    process.exit(1);
  }
}

async function serve(version: string, scope: Scope, uid: number, log: Log): Promise<void> {
  const { env } = process;
  const places = placesOf(scope, uid, env);
  const runtime = runtimeDirectory(scope, uid, env);
  if (runtime !== undefined) makePrivateDirectory(runtime, uid);
  const { after } = raiseOpenFilesLimit();
  log.debug(`Open files: at most ${after}`);
  growDescriptorTable(usualDescriptors, after);
  const notifier = openNotifier(env);
  const watchdogInterval = takeWatchdogInterval(env);
  const passed = takePassedDescriptors(env);
  const daemon = await startDaemon({ version, scope, uid, places, log, environment: env, passed });
  if (notifier !== undefined && watchdogInterval !== undefined) {
    startWatchdog(notifier, watchdogInterval, (error) => log.warning(`Watchdog: ${String(error)}`));
  }
  const stop = (signal: NodeJS.Signals) => {
    log.info(`Stopping on ${signal}; machines go on.`);
    notifier?.stopping();
    daemon[Symbol.dispose]();
    process.exit(0);
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  process.on('SIGHUP', () => log.debug('There is no configuration to read again.'));
  keepMemorySmall();
  notifier?.ready();
  if (env['INVOCATION_ID'] === undefined) process.stdout.write(summary(daemon.findings, places));
  else log.info(`Serving ${daemon.findings.machines} machines.`);
}

function openLog(): ServiceLog {
  const { SYSTEMD_LOG_LEVEL: level, SYSTEMD_LOG_TARGET: target } = process.env;
  return new ServiceLog({
    identifier: 'systemd-machined',
    level: readLevel(level) ?? usualLevel,
    target: logTargets.find((known) => known === target) ?? 'auto',
    environment: process.env,
  });
}

/** By name or by number, as systemd(1) has $SYSTEMD_LOG_LEVEL. */
function readLevel(text: string | undefined): LogLevel | undefined {
  if (text === undefined) return undefined;
  const level = /^[0-7]$/.test(text) ? Number(text) : logLevelNames.findIndex((name) => name === text);
  return level < 0 ? undefined : (level as LogLevel);
}

function readVersion(): string {
  const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string };
  return manifest.version;
}
