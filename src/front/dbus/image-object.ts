import type { Handlers, Readers } from '../../contract/dbus/declare.js';
import { imageInterface } from '../../contract/dbus/image.js';
import { checkImageName, type Image } from '../../domain/image.js';
import type { Authority } from '../../ports/authority.js';
import type { ImageCatalogue } from '../../service/images.js';
import type { IncomingCall } from './incoming.js';
import { bindInterface, type ObjectKind } from './objects.js';
import { nameInPath } from './paths.js';
import { unavailableForImage } from './unavailable.js';

export interface ImageServices {
  readonly authority: Authority;
  readonly images: ImageCatalogue;
}

/** What stands for a size that is not known, and for no limit. */
export const noSize = 0xffff_ffff_ffff_ffffn;

const readers: Readers<typeof imageInterface, Image> = {
  Name: (image) => image.name,
  Path: (image) => image.path,
  Type: (image) => image.type,
  ReadOnly: (image) => image.readOnly,
  CreationTimestamp: (image) => image.creationTime,
  ModificationTimestamp: (image) => image.modificationTime,
  Usage: (image) => image.usage ?? noSize,
  Limit: (image) => image.limit ?? noSize,
  UsageExclusive: (image) => image.usageExclusive ?? noSize,
  LimitExclusive: (image) => image.limitExclusive ?? noSize,
};

function imageHandlers(services: ImageServices): Handlers<typeof imageInterface, IncomingCall, Image> {
  const unavailable = unavailableForImage(services);
  const unavailableForNewName = (image: Image, input: { readonly new_name: string }, call: IncomingCall) => {
    checkImageName(input.new_name, 'newName');
    return unavailable(image, input, call);
  };
  return {
    Remove: unavailable,
    Rename: unavailableForNewName,
    Clone: unavailableForNewName,
    MarkReadOnly: unavailable,
    SetLimit: unavailable,
    GetHostname: unavailable,
    GetMachineID: unavailable,
    GetMachineInfo: unavailable,
    GetOSRelease: unavailable,
  };
}

/** The objects below /org/freedesktop/machine1/image. */
export function imageObjects(services: ImageServices): ObjectKind<Image> {
  return {
    interfaces: [bindInterface(imageInterface, imageHandlers(services), readers)],
    find(path) {
      const name = nameInPath(path);
      return name === undefined ? undefined : services.images.find(name);
    },
  };
}
