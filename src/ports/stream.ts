/** What the kernel says of the process at the other end of a UNIX socket, at the time it connected. */
export interface PeerCredentials {
  readonly uid: number;
  readonly gid: number;
  /** 0 where the peer lives in a PID namespace that this process cannot see. */
  readonly pid: number;
  /** Supplementary groups. */
  readonly groups: readonly number[];
  /** The peer's pidfd where the kernel has SO_PEERPIDFD (6.5); the stream owns it and closes it. */
  readonly pidfd: number | undefined;
}

export interface StreamEvents {
  /**
   * Bytes, and the descriptors that came with them (the receiver owns them from here on). The buffer is only valid
   * during the call.
   */
  data(bytes: Uint8Array, fds: readonly number[]): void;
  /** The peer will send no more; writing may still work. */
  end(): void;
  /** Nothing works any more; called exactly once, in a later turn of the loop, unless close() or end() was called. */
  closed(error: Error | undefined): void;
  /** All that was queued has been handed to the kernel, or dropped because the peer is gone. */
  drained?(): void;
}

/** A UNIX stream socket that passes file descriptors. */
export interface ByteStream {
  readonly peer: PeerCredentials;
  /** Begins to read, and to report to `events`; called once. Until then nothing is lost, and nothing is noticed. */
  start(events: StreamEvents): void;
  /**
   * Queues bytes, and descriptors to go with their first byte (both copied: the caller keeps its own). Returns the
   * number of bytes now waiting that the kernel would not take yet. What is written once the peer is gone or the stream
   * is closed is dropped. Throws if a descriptor that has to wait cannot be duplicated (EMFILE); nothing is queued then.
   */
  write(bytes: Uint8Array, fds?: readonly number[]): number;
  /** Stops and restarts `data` events, so that a peer that sends faster than it is served waits. */
  pause(): void;
  resume(): void;
  /** Sends what is queued, for as long as a peer that does not read is given, then closes. No event comes after this. */
  end(): void;
  /** Closes at once. */
  close(): void;
}

export interface StreamListener extends Disposable {
  readonly path: string;
}
