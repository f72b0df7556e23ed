import { cryptography } from '../on-demand.js';

/** What a copy calls things until they are complete: hidden, and nobody else's. */
export function newCopyName(): string {
  return `.#copy-${cryptography().randomBytes(8).toString('hex')}`;
}

export const copyNamePattern = /^\.#copy-[0-9a-f]{16}$/;
