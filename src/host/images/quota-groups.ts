// How the quota groups of btrfs account for images: each subvolume has one of level 0, which counts that subvolume alone.
// One that is limited gets another of the same number and a higher level, which counts the subvolumes in it too; it belongs
// to that of the pool, if there is one. The highest level is 255; what lies in a group has the level below.
import { createQuotaGroup, destroyQuotaGroup, isRescanning, joinQuotaGroup, leaveQuotaGroup, limitQuotaGroup } from '../kernel/btrfs-changes.js';
import { groupAtLevel, groupLevel, limitsOfGroup, outerGroups, readSubvolume, subtreeGroup, subvolumesIn } from '../kernel/btrfs.js';
import { sleep } from '../kernel/sleep.js';
import { errnoNameOf } from '../kernel/system-error.js';

const highestLevel = 255n;

/** How long a removal waits until quotas have been counted anew, looking every so often. In milliseconds. */
const longestRescan = 1000;
const moment = 20;

/** Quotas are off. */
const nothingCounts = ['ENOENT', 'ENOTCONN'];

/** Limits a subvolume together with those in it. `fd` is its root. Throws SystemError: ENOTCONN where quotas are off. */
export function limitSubtree(fd: number, limit: bigint | undefined): void {
  const { id } = readSubvolume(fd);
  limitQuotaGroup(fd, id, limit);
  const group = limit === undefined ? subtreeGroup(fd, id) : ensureSubtreeGroup(fd);
  if (group !== id) limitQuotaGroup(fd, group, limit);
}

/** A new subvolume may use as much as its source, and counts as its pool's. Both are roots. Throws SystemError. */
export function inheritLimits(source: number | undefined, made: number): void {
  ignoring(nothingCounts, () => {
    const limits = source === undefined ? undefined : limitsOf(source);
    const { id, parent } = readSubvolume(made);
    const hasGroup = limits?.subtree !== undefined || subtreeGroup(made, parent) !== parent;
    if (limits?.own !== undefined) limitQuotaGroup(made, id, limits.own);
    if (!hasGroup) return;
    const group = ensureSubtreeGroup(made);
    if (limits?.subtree !== undefined) limitQuotaGroup(made, group, limits.subtree);
  });
}

function limitsOf(fd: number): { readonly own: bigint | undefined; readonly subtree: bigint | undefined } {
  const { id } = readSubvolume(fd);
  const group = subtreeGroup(fd, id);
  return { own: limitsOfGroup(fd, id).limit, subtree: group === id ? undefined : limitsOfGroup(fd, group).limit };
}

/** Everything that lies in the subvolume counts in it from now on. Returns the group. */
function ensureSubtreeGroup(fd: number): bigint {
  const { id, parent } = readSubvolume(fd);
  const outer = parent === 0n ? parent : subtreeGroup(fd, parent);
  const existing = subtreeGroup(fd, id);
  const group = existing !== id ? existing : groupAtLevel((outer === parent ? highestLevel + 1n : groupLevel(outer)) - 1n, id);
  if (group === id) return id; // there is no level left
  ignoring(['EEXIST'], () => createQuotaGroup(fd, group));
  const nested = subvolumesIn(fd, id).map((subvolume) => {
    const subtree = subtreeGroup(fd, subvolume);
    return groupLevel(subtree) < groupLevel(group) ? subtree : subvolume;
  });
  for (const member of [id, ...nested]) ignoring(['EEXIST', 'ENOENT'], () => joinQuotaGroup(fd, member, group));
  if (outer !== parent && groupLevel(outer) > groupLevel(group)) ignoring(['EEXIST'], () => joinQuotaGroup(fd, group, outer));
  return group;
}

/**
 * Prepares for a subvolume's groups to go with it, and returns what removes them once it is gone. Its limits end at once:
 * to remove what is in it takes room, too. `fd` is on the same file system. What the kernel has removed by itself, or still
 * needs, is no failure.
 */
export function takeGroupsOf(fd: number, subvolume: bigint): (directory: number) => void {
  let outer: readonly bigint[] = [];
  let subtree = subvolume;
  ignoring(nothingCounts, () => {
    outer = outerGroups(fd, subvolume);
    subtree = subtreeGroup(fd, subvolume);
    for (const group of new Set([subtree, subvolume])) {
      if (limitsOfGroup(fd, group).limit !== undefined) limitQuotaGroup(fd, group, undefined);
    }
  });
  return (directory) => {
    if (outer.length > 0 && !isSettled(directory)) return; // groups of no use to anybody stay
    for (const group of outer) ignoring(noFailures, () => leaveQuotaGroup(directory, subvolume, group));
    for (const group of new Set([subtree, subvolume])) ignoring(noFailures, () => destroyQuotaGroup(directory, group));
  };
}

/** Whether quotas have been counted, at the latest in a moment. */
function isSettled(fd: number): boolean {
  for (let waited = 0; isRescanning(fd); waited += moment) {
    if (waited >= longestRescan) return false;
    sleep(moment);
  }
  return true;
}

/** Of removing what the kernel has removed by itself, or still needs. */
const noFailures = [...nothingCounts, 'EBUSY', 'EINVAL'];

function ignoring(reasons: readonly string[], work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!reasons.includes(errnoNameOf(error) ?? '')) throw error;
  }
}
