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
  /** Nothing works any more; called exactly once, unless close() was called. */
  closed(error: Error | undefined): void;
  /** All that was queued has been handed to the kernel. */
  drained?(): void;
}

/** A UNIX stream socket that passes file descriptors. */
export interface ByteStream {
  readonly peer: PeerCredentials;
  /**
   * Queues bytes, and descriptors to go with their first byte (duplicated: the caller keeps its own). Returns the
   * number of bytes now waiting that the kernel would not take yet.
   */
  write(bytes: Uint8Array, fds?: readonly number[]): number;
  /** Stops and restarts `data` events, so that a peer that sends faster than it is served waits. */
  pause(): void;
  resume(): void;
  /** Sends what is queued, then closes; `closed` is not called. */
  end(): void;
  /** Closes at once. */
  close(): void;
}

export interface StreamListener extends Disposable {
  readonly path: string;
}
