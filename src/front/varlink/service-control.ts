import { serviceVarlink, systemVarlink } from '../../contract/varlink/service.js';
import type { Authority } from '../../ports/authority.js';
import type { Log, LogLevel } from '../../ports/log.js';
import { isFailure } from '../../domain/failure.js';
import { authorize, type Call } from '../../service/call.js';
import { bindVarlink, MethodError, type BoundVarlinkInterface } from './service.js';

const usualLevel: LogLevel = 6;

export interface ServiceControlPorts {
  readonly log: Log;
  readonly authority: Authority;
  /** KEY=value each. */
  readonly environment: () => readonly string[];
}

/** io.systemd.service. */
export function serviceControlInterface({ log, authority, environment }: ServiceControlPorts): BoundVarlinkInterface {
  return bindVarlink(serviceVarlink, {
    Ping: () => ({}),
    Reload: undefined, // there is no configuration to read again; the original describes it just the same
    SetLogLevel: async ({ level }, call) => {
      await rootOnly(authority, call, level === undefined ? {} : { level });
      log.level = (level ?? usualLevel) as LogLevel;
      return {};
    },
    GetLogLevel: () => ({ level: log.level }),
    GetEnvironment: async (_input, call) => {
      await rootOnly(authority, call, {});
      return { environment: environment() };
    },
  });
}

/** The original's refusal repeats the parameters of the call. */
async function rootOnly(authority: Authority, call: Call, parameters: object): Promise<void> {
  try {
    await authorize(authority, call, {});
  } catch (error) {
    if (!isFailure(error, 'access-denied')) throw error;
    throw new MethodError('org.varlink.service.PermissionDenied', parameters);
  }
}

/** io.systemd, which has errors only. */
export const systemErrorsInterface: BoundVarlinkInterface = bindVarlink(systemVarlink, {});
