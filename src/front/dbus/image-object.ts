import type { Handlers, Readers } from '../../contract/dbus/declare.js';
import { imageInterface } from '../../contract/dbus/image.js';
import type { Image } from '../../domain/image.js';
import type { Authority } from '../../ports/authority.js';
import type { ImageCatalogue } from '../../service/images.js';
import type { ImageKeeper } from '../../service/image-changes.js';
import { imageMethods, metadataMethods, noSize } from './image-methods.js';
import type { IncomingCall } from './incoming.js';
import { bindInterface, type ObjectKind } from './objects.js';
import { nameInPath } from './paths.js';

export interface ImageServices {
  readonly authority: Authority;
  readonly images: ImageCatalogue;
  readonly keeper: ImageKeeper;
}

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
  const { hostname, machineId, machineInfo, osRelease } = metadataMethods(services.images);
  const { remove, rename, clone, markReadOnly, setLimit } = imageMethods(services.keeper);
  return {
    Remove: remove,
    Rename: rename,
    Clone: clone,
    MarkReadOnly: markReadOnly,
    SetLimit: (image, { limit }, call) => setLimit(image, limit, call),
    GetHostname: hostname,
    GetMachineID: machineId,
    GetMachineInfo: machineInfo,
    GetOSRelease: osRelease,
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
