import { Failure } from '../../domain/failure.js';
import type { ScopeJob, UnitPlace, Units } from '../../ports/units.js';

/**
 * No units at all: machines are known by their leaders alone. This is what an ordinary user has where no service manager
 * and no cgroup is at hand.
 */
export class NoUnits implements Units {
  readonly kind = 'none';

  placeOf(): UnitPlace | undefined {
    return undefined;
  }

  async startScope(): Promise<ScopeJob> {
    throw noUnits();
  }

  async killAll(): Promise<void> {
    throw noUnits();
  }

  async stop(): Promise<string> {
    throw noUnits();
  }

  async isActive(): Promise<boolean> {
    return false;
  }

  watch(): Disposable {
    return { [Symbol.dispose]: () => undefined };
  }

  release(): void {
    // no unit was referenced
  }

  [Symbol.dispose](): void {
    // nothing is held
  }
}

function noUnits(): Failure {
  return new Failure('not-supported', 'There is neither a service manager nor a writable cgroup to make units with');
}
