/**
 * Bytes in an array, without its length and the padding before its first element. D-Bus Specification, "Container
 * types".
 */
export const maximumArrayLength = 64 * 1024 * 1024;

/** Bytes in a message, header and padding included. D-Bus Specification, "Message Format". */
export const maximumMessageLength = 128 * 1024 * 1024;

/** Descriptors that one message can carry: what Linux takes in one sendmsg (unix(7), SCM_RIGHTS). */
export const maximumMessageFds = 253;
