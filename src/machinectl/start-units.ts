import { isMachinedError } from '../client/error.js';
import { escapeLabel } from '../wire/dbus/object-path.js';
import { CommandFailure } from './failure.js';
import { failureOf, type Registry } from './registry.js';
import { requireSystemd, systemdManager, systemdPath, systemdService, systemdServiceInterface } from './systemd.js';

/** Starts units and waits until that is done. Throws CommandFailure. */
export async function startUnits(registry: Registry, units: readonly string[]): Promise<void> {
  requireSystemd(registry, 'Machines are started as services of systemd');
  const client = registry.client(systemdService);
  const results = new JobResults();
  const options = await registry.callOptions({});
  try {
    using subscription = await client.subscribe(systemdManager, systemdPath, 'JobRemoved', ({ job, result }) => results.add(job, result));
    void subscription;
    await registry.attempt(client.call(systemdManager, systemdPath, 'Subscribe', {}));
    const jobs: { readonly unit: string; readonly job: string }[] = [];
    for (const unit of units) {
      const { job } = await client.call(systemdManager, systemdPath, 'StartUnit', { name: unit, mode: 'fail' }, options);
      jobs.push({ unit, job });
    }
    for (const { unit, job } of jobs) {
      const result = await results.of(job);
      if (result !== 'done' && result !== 'skipped') throw new CommandFailure(await describeFailure(registry, unit, result));
    }
  } catch (error) {
    throw failureOf('Failed to start unit', error);
  }
}

/** How jobs have ended: a job may be done before it is known that it was begun. */
class JobResults {
  readonly #results = new Map<string, string>();
  readonly #waiting = new Map<string, (result: string) => void>();

  add(job: string, result: string): void {
    this.#results.set(job, result);
    this.#waiting.get(job)?.(result);
  }

  of(job: string): Promise<string> {
    const known = this.#results.get(job);
    return known !== undefined ? Promise.resolve(known) : new Promise((resolve) => this.#waiting.set(job, resolve));
  }
}

async function describeFailure(registry: Registry, unit: string, result: string): Promise<string> {
  if (result === 'canceled') return `Job for ${unit} canceled.`;
  if (result === 'timeout') return `Job for ${unit} timed out.`;
  if (result === 'dependency') return `A dependency job for ${unit} failed. See 'journalctl -xe' for details.`;
  const reason = reasons[await serviceResult(registry, unit)];
  const because = reason === undefined ? '' : ` because ${reason}`;
  return `Job for ${unit} failed${because}.\nSee "systemctl status ${unit}" and "journalctl -xeu ${unit}" for details.`;
}

/** By the property Result, systemd.exec(5), $SERVICE_RESULT. */
const reasons: Readonly<Record<string, string>> = {
  'exit-code': 'the control process exited with error code',
  signal: 'a fatal signal was delivered to the control process',
  'core-dump': 'a fatal signal was delivered causing the control process to dump core',
  timeout: 'a timeout was exceeded',
  resources: 'of unavailable resources or another system error',
  protocol: 'the service did not take the steps required by its unit configuration',
  'start-limit-hit': 'start of the service was attempted too often',
};

async function serviceResult(registry: Registry, unit: string): Promise<string> {
  const path = `${systemdPath}/unit/${escapeLabel(unit)}`;
  try {
    return await registry.client(systemdService).property(systemdServiceInterface, path, 'Result');
  } catch (error) {
    if (isMachinedError(error)) return '';
    throw error;
  }
}
