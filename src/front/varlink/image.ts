import { imageVarlink } from '../../contract/varlink/image.js';
import { isFailure } from '../../domain/failure.js';
import type { Image } from '../../domain/image.js';
import type { Authority } from '../../ports/authority.js';
import type { Log } from '../../ports/log.js';
import { authorize } from '../../service/call.js';
import type { ImageKeeper } from '../../service/image-changes.js';
import type { ImageCatalogue } from '../../service/images.js';
import type { Input, Output } from '../../wire/varlink/schema.js';
import { refuseUpgrade } from './listing.js';
import { bindVarlink, MethodError, Replies, type BoundVarlinkInterface, type VarlinkCall } from './service.js';
import { arrivals } from './arrivals.js';
import { withoutAbsent } from './without-absent.js';

export interface ImageVarlinkServices {
  readonly images: ImageCatalogue;
  readonly keeper: ImageKeeper;
  readonly authority: Authority;
}

type ListInput = Input<(typeof imageVarlink)['methods']['List']>;
type ListOutput = Output<(typeof imageVarlink)['methods']['List']>;
type CleanOutput = Output<(typeof imageVarlink)['methods']['CleanPool']>;

/**
 * io.systemd.MachineImage. Its errors have no place for a message, so that the log is told why something could not be done,
 * for callers that may do such things.
 */
export function imageInterface(services: ImageVarlinkServices, log: Log): BoundVarlinkInterface {
  const { images, keeper } = services;
  return bindVarlink(imageVarlink, {
    List: (input, call) => list(services, input, call),
    Update: async ({ name, newName, readOnly, limit }, call) => {
      await telling(log, `Image '${name}' cannot be changed`, () => keeper.update(call, images.byName(name), { newName, readOnly, limit }));
      return {};
    },
    Clone: async ({ name, newName, readOnly }, call) => {
      await telling(log, `Image '${name}' cannot be cloned`, () => keeper.clone(call, images.byName(name), newName, readOnly ?? false));
      return {};
    },
    Remove: async ({ name }, call) => {
      await telling(log, `Image '${name}' cannot be removed`, () => keeper.remove(call, images.byName(name)));
      return {};
    },
    SetPoolLimit: async ({ limit }, call) => {
      await telling(log, 'The images cannot be limited', () => keeper.setPoolLimit(call, limit));
      return {};
    },
    CleanPool: async ({ mode }, call) => {
      const removed = arrivals<CleanOutput>((arrive) =>
        telling(log, 'The images cannot be cleaned', () =>
          keeper.clean(call, mode, ({ name, usageExclusive }) => {
            arrive(withoutAbsent({ name, usageExclusive: numberOrAbsent(usageExclusive) }));
          }),
        ),
      );
      const first = await removed.next();
      if (first.done === true) throw new MethodError('io.systemd.MachineImage.NoSuchImage'); // there is no reply to none
      return Replies.all(continued(first.value, removed));
    },
  }, ownErrors);
}

const ownErrors = { 'not-supported': 'io.systemd.MachineImage.NotSupported' } as const;

/** Authorization comes before such failures: nobody else can fill the log with them. */
async function telling(log: Log, attempt: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (isFailure(error, 'system') || isFailure(error, 'not-supported')) log.info(`${attempt}: ${error.message}`);
    throw error;
  }
}

async function* continued<T>(first: T, others: AsyncIterable<T>): AsyncGenerator<T> {
  yield first;
  yield* others;
}


async function list(
  { images, authority }: ImageVarlinkServices,
  { name, acquireMetadata }: ListInput,
  call: VarlinkCall,
): Promise<ListOutput | Replies<ListOutput>> {
  refuseUpgrade(call);
  const metadata = acquireMetadata ?? 'no';
  if (metadata !== 'no') await authorize(authority, call, { name: name ?? 'n/a' });
  const image = name === undefined ? undefined : images.byName(name);
  if (image === undefined && !call.more) throw new MethodError('org.varlink.service.ExpectedMore');
  if (metadata === 'no') return image === undefined ? Replies.all(describeAll(await images.list())) : describeImage(image);
  if (image !== undefined) return describeContents(images, image, metadata);
  const described: ListOutput[] = [];
  for (const one of await images.list()) described.push(await describeContents(images, one, metadata));
  return Replies.all(described);
}

/** 'graceful': what cannot be looked into is described from outside. */
async function describeContents(images: ImageCatalogue, image: Image, mode: 'yes' | 'graceful'): Promise<ListOutput> {
  try {
    const { hostname, machineId, machineInfo, osRelease } = await images.metadata(image);
    const contents = withoutAbsent({ hostname, machineId, machineInfo: assignments(machineInfo), OSRelease: assignments(osRelease) });
    return { ...describeImage(image), ...contents };
  } catch (error) {
    if (!isFailure(error)) throw error;
    if (mode === 'graceful') return describeImage(image);
    throw error;
  }
}

function assignments(fields: ReadonlyMap<string, string>): string[] | undefined {
  return fields.size === 0 ? undefined : [...fields].map(([name, value]) => `${name}=${value}`);
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
