// The page of results, docs/benchmarks.md: what is written by hand, then a section for each group of benchmarks.
import { cpus, loadavg, release } from 'node:os';

/** The page with the section of that title replaced, or appended. */
export function withSection(page: string, title: string, table: string): string {
  const [introduction = '', ...sections] = page.trimEnd().split(/\n(?=## )/);
  const section = `## ${title}\n\n${circumstances()}\n\n${table}\n`;
  const index = sections.findIndex((text) => text.startsWith(`## ${title}\n`));
  if (index < 0) sections.push(section);
  else sections[index] = section;
  return [introduction, ...sections].map((text) => `${text.trimEnd()}\n`).join('\n');
}

function circumstances(): string {
  const [load = 0] = loadavg();
  const date = new Date().toISOString().slice(0, 10);
  return `${date}, ${cpus().length} cores (${process.arch}), Linux ${release()}, Node ${process.version}; load average of the machine ${load.toFixed(1)}.`;
}
