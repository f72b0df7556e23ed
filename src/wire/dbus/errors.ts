/** Bytes or text that break the D-Bus specification. Whoever wrote them is at fault: a peer, or an address's author. */
export class WireError extends Error {
  override readonly name = 'WireError';
}

/** A value that cannot be sent as the signature says, or a message that cannot exist. The sending code is at fault. */
export class ValueError extends Error {
  override readonly name = 'ValueError';
}
