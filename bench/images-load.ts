/** What is measured of images, inside the host. The plan is the first argument, in JSON: ImagesPlan. */
import { execFileSync } from 'node:child_process';
import { duration, latency, runInside, type Session } from './inside.js';
import type { Figure } from './figures.js';
import { benchImages, type ImagesPlan } from './plan.js';

const pool = '/var/lib/machines';
const busyLimit = 30_000; // milliseconds

function measure(plan: ImagesPlan, session: Session): Promise<readonly Figure[]> {
  return plan.part === 'list' ? measureList(plan, session) : measureChanges(plan, session);
}

async function measureList({ subject, duration: time }: ImagesPlan, { client, daemon }: Session): Promise<Figure[]> {
  const list = () => client.call({ member: 'ListImages', signature: '', body: [] });
  const [images] = (await list()).body() as [readonly unknown[]];
  if (images.length !== parseInt(subject, 10) + 1) throw new Error(`${images.length} images are listed`); // and the host's
  return [await latency(daemon, { operation: 'ListImages', subject }, time, list)];
}

async function measureChanges({ subject, duration: time }: ImagesPlan, { client, daemon }: Session): Promise<Figure[]> {
  const { tree, raw, manyFiles } = benchImages;
  const figures: Figure[] = [];
  const look = () => unlessBusy(() => client.call({ member: 'GetImageOSRelease', signature: 's', body: [raw] }));
  const [release] = (await look()).body() as [ReadonlyMap<string, string>];
  if (release.get('ID') !== 'bench') throw new Error('the disk image is not read');
  figures.push(await latency(daemon, { operation: 'GetImageOSRelease, raw', subject }, time, look));
  const clone = () => client.call({ member: 'CloneImage', signature: 'ssb', body: [tree, 'bench-clone', false] });
  run('sync');
  figures.push(await duration(daemon, { operation: 'clone of 1 GiB, 4096 files', subject }, clone));
  run(`diff -r ${pool}/${tree} ${pool}/bench-clone`);
  await client.call({ member: 'RemoveImage', signature: 's', body: ['bench-clone'] });
  run(`cp -a ${pool}/.many ${pool}/${manyFiles}; sync`);
  const remove = () => client.call({ member: 'RemoveImage', signature: 's', body: [manyFiles] });
  figures.push(await duration(daemon, { operation: 'remove of 15,000 files', subject }, remove));
  return figures;
}

/**
 * The original gives up when somebody else, anywhere on this machine, takes a loop device at the same moment; and each time
 * where /dev has no node for the device that the kernel has free.
 */
async function unlessBusy<T>(call: () => Promise<T>): Promise<T> {
  for (const deadline = performance.now() + busyLimit; ; ) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof Error && error.message.includes('EBUSY')) || performance.now() > deadline) throw error;
    }
  }
}

function run(script: string): void {
  execFileSync('sh', ['-ec', script]);
}

await runInside(measure);
