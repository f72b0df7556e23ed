// What the programs inside the host say of guests and images, and the rows that are made of it outside.
import type { DaemonName } from './plan.js';
import type { Aim, Row } from './table.js';

/** One row's value in one round. */
export interface Figure {
  readonly operation: string;
  readonly subject: string;
  readonly unit: 'µs' | 'ms';
  readonly value: number;
  /** Microseconds of processor time that the daemon and all it forks took per call, where that is counted. */
  readonly processor?: number;
}

/** `aims` by the operation, the first that it begins with. What only one of the daemons can do has no ratio. */
export function rowsOfFigures(results: Record<DaemonName, readonly (readonly Figure[])[]>, aims: readonly (readonly [string, Aim])[]): readonly Row[] {
  const found = (daemon: DaemonName, operation: string, subject: string) =>
    results[daemon].flatMap((figures) => figures.filter((figure) => figure.operation === operation && figure.subject === subject));
  return (results.ours[0] ?? []).map(({ operation, subject, unit }): Row => {
    const aim = aims.find(([beginning]) => operation.startsWith(beginning))?.[1];
    if (aim === undefined) throw new Error(`nothing is said of the aim of ${operation}`);
    const [real, ours] = [found('real', operation, subject), found('ours', operation, subject)];
    const processor = { real: real.flatMap((figure) => figure.processor ?? []), ours: ours.flatMap((figure) => figure.processor ?? []) };
    return { operation, subject, unit, aim, real: real.map(({ value }) => value), ours: ours.map(({ value }) => value), processor };
  });
}
