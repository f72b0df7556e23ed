import { imageVarlink } from '../../contract/varlink/image.js';
import { isFailure } from '../../domain/failure.js';
import type { Image } from '../../domain/image.js';
import type { Authority } from '../../ports/authority.js';
import { authorize } from '../../service/call.js';
import type { ImageCatalogue } from '../../service/images.js';
import { refuseForImage } from '../../service/unavailable.js';
import type { Input, Output } from '../../wire/varlink/schema.js';
import { bindVarlink, MethodError, Replies, type BoundVarlinkInterface, type VarlinkCall } from './service.js';
import { withoutAbsent } from './without-absent.js';

export interface ImageVarlinkServices {
  readonly images: ImageCatalogue;
  readonly authority: Authority;
}

type ListInput = Input<(typeof imageVarlink)['methods']['List']>;
type ListOutput = Output<(typeof imageVarlink)['methods']['List']>;

/** io.systemd.MachineImage. */
export function imageInterface(services: ImageVarlinkServices): BoundVarlinkInterface {
  const { authority, images } = services;
  const ofImage = ({ name }: { readonly name: string }, call: VarlinkCall) =>
    refuse(authority, images.byName(name).name, call);
  const ofPool = (_: object, call: VarlinkCall) => refuse(authority, undefined, call);
  return bindVarlink(imageVarlink, {
    List: (input, call) => list(services, input, call),
    Update: ofImage,
    Clone: ofImage,
    Remove: ofImage,
    SetPoolLimit: ofPool,
    CleanPool: ofPool,
  });
}

/** The interface has a NotSupported of its own. */
async function refuse(authority: Authority, name: string | undefined, call: VarlinkCall): Promise<never> {
  try {
    return await refuseForImage(authority, call, name);
  } catch (error) {
    if (!isFailure(error, 'not-supported')) throw error;
    throw new MethodError('io.systemd.MachineImage.NotSupported');
  }
}

async function list(
  { images, authority }: ImageVarlinkServices,
  { name, acquireMetadata }: ListInput,
  call: VarlinkCall,
): Promise<ListOutput | Replies<ListOutput>> {
  const metadata = acquireMetadata ?? 'no';
  if (metadata !== 'no') await authorize(authority, call, { name: name ?? 'n/a' });
  const image = name === undefined ? undefined : images.byName(name);
  if (image === undefined && !call.more) throw new MethodError('org.varlink.service.ExpectedMore');
  // No image is looked into by this version: nothing is found inside, which the graceful do not mind.
  if (metadata === 'yes') throw new MethodError('io.systemd.MachineImage.NotSupported');
  return image === undefined ? Replies.all(describeAll(await images.list())) : describeImage(image);
}

function* describeAll(images: readonly Image[]): Generator<ListOutput> {
  for (const image of images) yield describeImage(image);
}

const descriptions = new WeakMap<Image, ListOutput>();

/** Images do not change, but are replaced: each is described once. */
function describeImage(image: Image): ListOutput {
  const known = descriptions.get(image);
  if (known !== undefined) return known;
  const description = withoutAbsent({
    name: image.name,
    path: image.path,
    type: image.type,
    class: 'machine',
    readOnly: image.readOnly,
    creationTimestamp: orAbsent(image.creationTime),
    modificationTimestamp: orAbsent(image.modificationTime),
    usage: numberOrAbsent(image.usage),
    usageExclusive: numberOrAbsent(image.usageExclusive),
    limit: numberOrAbsent(image.limit),
    limitExclusive: numberOrAbsent(image.limitExclusive),
  });
  descriptions.set(image, description);
  return description;
}

function orAbsent(time: bigint): number | undefined {
  return time === 0n ? undefined : Number(time);
}

function numberOrAbsent(size: bigint | undefined): number | undefined {
  return size === undefined ? undefined : Number(size);
}
