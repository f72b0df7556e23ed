// Modules of Node's that load a dozen others: 4 ms and 2 MiB, which a daemon does without until it is asked to start or to name
// something. An import at the head of a file would load them when the daemon starts.

export const childProcess = () => process.getBuiltinModule('node:child_process');
export const cryptography = () => process.getBuiltinModule('node:crypto');
