import type { Authorization } from '../contract/authorization.js';
import { Failure } from '../domain/failure.js';
import { hostMachineName } from '../domain/machine.js';
import type { Authority, Caller } from '../ports/authority.js';

/** One call of one caller, as a front end hands it to the service: the declaration's authorization comes with it. */
export interface Call {
  readonly authorization: Authorization;
  /** The caller agreed that the user may be asked for a password. */
  readonly interactive: boolean;
  /** Looks up who calls; only done where it matters, because on a bus it costs a round trip. */
  caller(): Promise<Caller>;
}

/** What a call is about. */
export interface Subject {
  /** The machine's or image's name; undefined if it is about neither. */
  readonly name?: string;
  /** Whose machine it is. */
  readonly owner?: number;
  /** What else polkit's rules and agents are to see. */
  readonly details?: Readonly<Record<string, string>>;
}

/** Throws Failure 'access-denied' or 'interactive-authentication-required' unless the caller may do this. */
export async function authorize(authority: Authority, call: Call, subject: Subject): Promise<void> {
  const required = call.authorization;
  if (required.kind === 'anyone') return;
  const caller = await call.caller();
  if (authority.isPrivileged(caller.uid)) return;
  if (required.kind === 'root') throw accessDenied();
  if (required.owner && subject.owner !== undefined && caller.uid === subject.owner) return;
  const details: Record<string, string> = {};
  if (required.subject !== undefined && subject.name !== undefined) details[required.subject] = subject.name;
  if (required.verb !== undefined) details['verb'] = required.verb;
  const verdict = await authority.check(caller, {
    action: subject.name === hostMachineName ? required.hostAction : required.action,
    details: { ...details, ...subject.details },
    interactive: call.interactive,
  });
  if (caller.gone?.aborted === true) throw accessDenied('The caller has left'); // nothing is done behind its back
  if (verdict === 'denied') throw accessDenied();
  if (verdict === 'interactive-authentication-required') throw authenticationRequired();
}

export function accessDenied(message = 'Permission denied'): Failure {
  return new Failure('access-denied', message);
}

function authenticationRequired(): Failure {
  return new Failure(
    'interactive-authentication-required',
    'Access denied as the requested operation requires interactive authentication. However, interactive authentication has not been enabled by the calling program.',
  );
}
