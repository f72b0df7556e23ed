// A process of its own that changes an image, and is killed just before the call of a number that it is given: the first
// that can change something is number 0. Arguments: that number, the change, the places.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import koffi from 'koffi';
import type { ImageChange, ImagePlaces } from '../../src/host/images/image-change.js';

type Call = (...parameters: unknown[]) => unknown;

const [number = '', change = '', places = ''] = process.argv.slice(2);
let remaining = Number(number);

function counted(call: Call, changes: (parameters: readonly unknown[]) => boolean): Call {
  return (...parameters) => {
    if (changes(parameters) && remaining-- === 0) process.kill(process.pid, 'SIGKILL');
    return call(...parameters);
  };
}

const always = () => true;
const creates = ([, flags]: readonly unknown[]) => typeof flags === 'number' && (flags & fs.constants.O_CREAT) !== 0;
const functions = fs as unknown as Record<string, Call>;
for (const name of ['renameSync', 'unlinkSync', 'mkdirSync', 'writeSync', 'chmodSync', 'fchmodSync', 'fchownSync', 'ftruncateSync']) {
  functions[name] = counted(functions[name] as Call, always);
}
functions['openSync'] = counted(functions['openSync'] as Call, creates);
syncBuiltinESMExports();

const changing = /\b(mkdirat|symlinkat|mknodat|linkat|renameat2|unlinkat|fchownat|utimensat|ioctl|fsetxattr|copy_file_range)\(/;
const load = koffi.load.bind(koffi);
koffi.load = ((file: string | null) => {
  const library = load(file);
  return {
    func: (declaration: string) => {
      const call = library.func(declaration) as Call;
      return changing.test(declaration) ? counted(call, always) : call;
    },
  };
}) as typeof koffi.load;

const { changeImage } = await import('../../src/host/images/change-image.js');
changeImage(JSON.parse(change) as ImageChange, JSON.parse(places) as ImagePlaces, { expect: () => undefined, count: () => undefined, keepAlive: () => undefined });
