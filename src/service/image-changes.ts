import { Failure, invalidArgument, isFailure, systemFailure } from '../domain/failure.js';
import { checkImageName, isForeignImage, isHiddenImage, type Image } from '../domain/image.js';
import type { OperationFacts, OperationKind, Operations, Progress, WorkControl } from '../domain/operations.js';
import type { Authority } from '../ports/authority.js';
import type { ImageChanges, ImageLimit } from '../ports/images.js';
import { authorize, type Call } from './call.js';
import type { ImageCatalogue } from './images.js';

const noLimit = 0xffff_ffff_ffff_ffffn;
const largestFile = 0x7fff_ffff_ffff_ffffn;

/** A limit is in bytes, 2^64 − 1 is none. */
export interface ImageUpdateRequest {
  readonly newName: string | undefined;
  readonly readOnly: boolean | undefined;
  readonly limit: bigint | undefined;
}

export interface RemovedImage {
  readonly name: string;
  /** In bytes; undefined if not known. */
  readonly usageExclusive: bigint | undefined;
}

/** 'hidden': those whose name begins with a dot. */
export type CleaningMode = 'hidden' | 'all';

/**
 * Changes images, for callers who may. What has begun goes on when its caller has left. Limits are in bytes, 2^64 − 1 is
 * none. All methods throw Failure 'access-denied', 'interactive-authentication-required', 'too-many-operations', 'system'
 * (see ImageChanges) and what is named with them.
 */
export class ImageKeeper {
  readonly #images: ImageCatalogue;
  readonly #changes: ImageChanges;
  readonly #authority: Authority;
  readonly #operations: Operations;

  constructor(images: ImageCatalogue, changes: ImageChanges, authority: Authority, operations: Operations) {
    this.#images = images;
    this.#changes = changes;
    this.#authority = authority;
    this.#operations = operations;
  }

  async remove(call: Call, image: Image): Promise<void> {
    await authorize(this.#authority, call, { name: image.name });
    await this.#carryOut(call, { kind: 'remove', image }, (control) => this.#changes.remove(image, control));
  }

  /** Throws Failure 'invalid-argument'. */
  async rename(call: Call, image: Image, newName: string): Promise<void> {
    checkImageName(newName, 'newName');
    await authorize(this.#authority, call, { name: image.name, details: { new_name: newName } });
    await explaining('Failed to rename image', () => this.#changes.update(image, { newName }));
  }

  /** Throws Failure 'invalid-argument'. */
  async clone(call: Call, image: Image, newName: string, readOnly: boolean): Promise<void> {
    checkImageName(newName, 'newName');
    await authorize(this.#authority, call, { name: image.name, details: { new_name: newName } });
    await this.#carryOut(call, { kind: 'clone', image, newName }, (control) => this.#changes.clone(image, newName, readOnly, control));
  }

  async markReadOnly(call: Call, image: Image, readOnly: boolean): Promise<void> {
    await authorize(this.#authority, call, { name: image.name, details: { read_only: readOnly ? '1' : '0' } });
    refuseHidden(image);
    await this.#changes.update(image, { readOnly });
  }

  /** Throws Failure 'invalid-argument'. */
  async setLimit(call: Call, image: Image, limit: bigint): Promise<void> {
    await authorize(this.#authority, call, { name: image.name });
    const checked = checkLimit(limit);
    await this.#changes.update(image, { limit: checked });
  }

  /** Several changes, or none of them. Throws Failure 'invalid-argument'. */
  async update(call: Call, image: Image, { newName, readOnly, limit }: ImageUpdateRequest): Promise<void> {
    if (newName !== undefined) checkImageName(newName, 'newName');
    await authorize(this.#authority, call, { name: image.name });
    const newLimit = limit === noLimit ? withoutLimit(image) : limit;
    const isNothing = newName === undefined && readOnly === undefined && newLimit === undefined;
    if (isNothing) return; // not even an image that cannot be changed has anything against it
    if (readOnly !== undefined) refuseHidden(image);
    await this.#changes.update(image, { newName, readOnly, limit: newLimit });
  }

  /** Throws Failure 'invalid-argument', 'not-supported'. */
  async setPoolLimit(call: Call, limit: bigint): Promise<void> {
    await authorize(this.#authority, call, {});
    const checked = checkLimit(limit);
    try {
      await this.#changes.setPoolLimit(checked);
    } catch (error) {
      if (!isFailure(error, 'system')) throw error;
      if (error.errno === 'EOPNOTSUPP') throw new Failure('not-supported', error.message, { cause: error });
      throw explained(error, 'Failed to adjust quota limit');
    }
  }

  /**
   * Removes images, and tells of each when it has gone. The host's and the vendor's stay, and so do those that are in use.
   * What was removed before one of them fails is gone.
   */
  async clean(call: Call, mode: CleaningMode, tell: (removed: RemovedImage) => void): Promise<void> {
    await authorize(this.#authority, call, { details: { mode } });
    await this.#carryOut(call, { kind: 'clean' }, async ({ report, canceled }) => {
      let before = 0; // files that have gone with earlier images
      for (const image of await this.#images.list()) {
        const isMeant = !isForeignImage(image) && (mode === 'all' || isHiddenImage(image.name));
        if (!isMeant) continue;
        if (canceled.aborted) throw systemFailure('ECANCELED', 'Operation canceled');
        let files = 0;
        const count = ({ filesDone = 0 }: Progress) => {
          files = filesDone;
          report({ filesDone: before + files });
        };
        if (await this.#removeUnlessNeeded(image, { report: count })) {
          tell({ name: image.name, usageExclusive: image.usageExclusive });
        }
        before += files;
      }
    });
  }

  async #removeUnlessNeeded(image: Image, control: Pick<WorkControl, 'report'>): Promise<boolean> {
    try {
      await this.#changes.remove(image, control);
      return true;
    } catch (error) {
      if (!isFailure(error, 'system')) throw error;
      if (error.errno === 'EBUSY' || error.errno === 'ENOENT') return false;
      throw explained(error, `Failed to remove image '${image.name}'`);
    }
  }

  async #carryOut(call: Call, { kind, image, newName }: ImageWork, work: (control: WorkControl) => Promise<void>): Promise<void> {
    const { uid, pid } = await call.caller();
    const facts: OperationFacts = {
      kind,
      subject: image === undefined ? undefined : { type: 'image', name: image.name },
      source: newName === undefined ? undefined : image?.name,
      destination: newName,
      owner: { uid, pid },
    };
    await this.#operations.carryOut(facts, work);
  }
}

interface ImageWork {
  readonly kind: OperationKind;
  readonly image?: Image;
  readonly newName?: string;
}

async function explaining(attempt: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!isFailure(error, 'system')) throw error;
    throw explained(error, attempt);
  }
}

function explained(failure: Failure, attempt: string): Failure {
  return systemFailure(failure.errno ?? 'EIO', `${attempt}: ${failure.message}`, failure);
}

/** They are read-only for good, whatever the files say. Throws Failure 'system' (EROFS). */
function refuseHidden({ name }: Image): void {
  if (isHiddenImage(name)) throw systemFailure('EROFS', 'Read-only file system');
}

/** Nothing is to be done for an image that nothing limits; disks have the size that they have. */
function withoutLimit({ type, limit }: Image): 'none' | undefined {
  return limit === undefined || type === 'raw' || type === 'block' ? undefined : 'none';
}

function checkLimit(limit: bigint): ImageLimit {
  if (limit === noLimit) return 'none';
  if (limit > largestFile) throw invalidArgument('limit', 'New limit out of range');
  return limit;
}
