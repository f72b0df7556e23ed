import { invalidArgument } from '../../domain/failure.js';
import type { Image } from '../../domain/image.js';
import type { CleaningMode, ImageKeeper } from '../../service/image-changes.js';
import type { ImageCatalogue } from '../../service/images.js';
import type { IncomingCall } from './incoming.js';

/** What stands for a size that is not known, and for no limit. */
export const noSize = 0xffff_ffff_ffff_ffffn;

/** What an image's object and, with the image's name, the Manager can change. */
export function imageMethods(keeper: ImageKeeper) {
  return {
    remove: async (image: Image, _input: object, call: IncomingCall) => {
      await keeper.remove(call, image);
      return {};
    },
    rename: async (image: Image, { new_name }: { readonly new_name: string }, call: IncomingCall) => {
      await keeper.rename(call, image, new_name);
      return {};
    },
    clone: async (image: Image, input: { readonly new_name: string; readonly read_only: boolean }, call: IncomingCall) => {
      await keeper.clone(call, image, input.new_name, input.read_only);
      return {};
    },
    markReadOnly: async (image: Image, { read_only }: { readonly read_only: boolean }, call: IncomingCall) => {
      await keeper.markReadOnly(call, image, read_only);
      return {};
    },
    setLimit: async (image: Image, limit: bigint, call: IncomingCall) => {
      await keeper.setLimit(call, image, limit);
      return {};
    },
  };
}

/** What an image's object and, with the image's name, the Manager can tell of its contents. */
export function metadataMethods(images: ImageCatalogue) {
  return {
    hostname: async (image: Image) => ({ hostname: (await images.metadata(image)).hostname ?? '' }),
    machineId: async (image: Image) => ({ id: Buffer.from((await images.metadata(image)).machineId ?? '', 'hex') }),
    machineInfo: async (image: Image) => ({ machine_info: (await images.metadata(image)).machineInfo }),
    osRelease: async (image: Image) => ({ os_release: (await images.metadata(image)).osRelease }),
  };
}

/** What the Manager can do to all of them. */
export function poolMethods(keeper: ImageKeeper) {
  return {
    setPoolLimit: async (_: unknown, { size }: { readonly size: bigint }, call: IncomingCall) => {
      await keeper.setPoolLimit(call, size);
      return {};
    },
    cleanPool: async (_: unknown, { mode }: { readonly mode: string }, call: IncomingCall) => {
      const images: [name: string, usage: bigint][] = [];
      await keeper.clean(call, checkMode(mode), ({ name, usageExclusive }) => images.push([name, usageExclusive ?? noSize]));
      return { images };
    },
  };
}

function checkMode(mode: string): CleaningMode {
  if (mode === 'hidden' || mode === 'all') return mode;
  throw invalidArgument('mode', `Unknown mode '${mode}'.`);
}
