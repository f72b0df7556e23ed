// The page of results, docs/benchmarks.md: what is written by hand, then a section for each group of benchmarks.
import { cpus, loadavg, release } from 'node:os';

/** Before the benchmarks begin: they are a load themselves. */
const [load = 0] = loadavg();

/**
 * The page with the section of that title replaced, or appended. What somebody has written between its first paragraph and
 * its table stays.
 */
export function withSection(page: string, title: string, table: string): string {
  const [introduction = '', ...sections] = page.trimEnd().split(/\n(?=## )/);
  const index = sections.findIndex((text) => text.startsWith(`## ${title}\n`));
  const section = [`## ${title}`, circumstances(), ...remarksIn(sections[index] ?? ''), table].join('\n\n');
  if (index < 0) sections.push(section);
  else sections[index] = section;
  return [introduction, ...sections].map((text) => `${text.trimEnd()}\n`).join('\n');
}

function remarksIn(section: string): readonly string[] {
  return section.split(/\n\n+/).slice(2).filter((paragraph) => !paragraph.startsWith('|'));
}

function circumstances(): string {
  const date = new Date().toISOString().slice(0, 10);
  return `${date}, ${cpus().length} cores (${process.arch}), Linux ${release()}, Node ${process.version}; load average of the machine ${load.toFixed(1)}.`;
}
