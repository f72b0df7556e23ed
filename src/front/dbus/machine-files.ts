import type { Machine } from '../../domain/machine.js';
import type { CopyRequest } from '../../ports/guest-files.js';
import type { MachineFiles } from '../../service/machine-files.js';
import type { IncomingCall } from './incoming.js';

interface CopyArguments {
  readonly source: string;
  readonly destination: string;
  /** Bit 0: replace what is there. */
  readonly flags?: bigint;
}

interface BindArguments {
  readonly source: string;
  readonly destination: string;
  readonly read_only: boolean;
  readonly mkdir: boolean;
}

const replaceFlag = 1n;

/** What a machine's object and, with the machine's name, the Manager can do with files. */
export function fileMethods(files: MachineFiles) {
  const copy = (direction: CopyRequest['direction']) => async (machine: Machine, input: CopyArguments, call: IncomingCall) => {
    const { source, destination, flags = 0n } = input;
    const replace = (flags & replaceFlag) !== 0n;
    await files.copy(call, machine, { direction, source, destination, replace, unknownFlags: (flags & ~replaceFlag) !== 0n });
    return {};
  };
  return {
    copyFrom: copy('from'),
    copyTo: copy('to'),
    bindMount: async (machine: Machine, { source, destination, read_only, mkdir }: BindArguments, call: IncomingCall) => {
      await files.bind(call, machine, { source, destination, readOnly: read_only, makeDestination: mkdir });
      return {};
    },
    openRootDirectory: async (machine: Machine, _input: object, call: IncomingCall) => ({
      fd: call.passDescriptor(await files.openRoot(call, machine)),
    }),
  };
}
