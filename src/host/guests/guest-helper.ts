// A process of its own that walks the paths of guests for the daemon. A guest can make such a walk wait for ever, in a
// file system that it serves itself; then this process is killed, and nothing else has stood still.
import { isFailure } from '../../domain/failure.js';
import { changeImage } from '../images/change-image.js';
import { readMetadata } from '../images/read-metadata.js';
import { dieWithParent } from '../kernel/guest-root.js';
import { limitMemory } from '../kernel/limits.js';
import { bindMount, copyFiles, locateCopy, openRootDirectory, removeCopyLeftovers, unbindMount } from './guest-files.js';
import { HelperChannel } from './helper-channel.js';
import { findCommandEntrance, findEntrance, isKnown, requireProgram } from './entrance.js';
import { connectBus, openTerminal } from './guest-doors.js';
import { readOsRelease } from './os-release.js';
import { WorkMeter, type Meter } from './work-meter.js';
import { channelDescriptor, identityOf, type Answer, type HelperMessage, type Request, type TaskName, type Tasks } from './protocol.js';

/** What a task has come to. The descriptors are closed once they have been sent. */
interface Outcome<Name extends TaskName> {
  readonly output: Tasks[Name]['output'];
  readonly fds?: readonly number[];
}

/** Descriptors that came with a request are closed once its task is done. Expected failures are of kind 'system'. */
type TaskHandlers = {
  readonly [Name in TaskName]: (input: Tasks[Name]['input'], fds: readonly number[], meter: Meter) => Outcome<Name>;
};

const tasks: TaskHandlers = {
  'os-release': ({ leader }) => {
    const fields = readOsRelease(identityOf(leader));
    return { output: fields === undefined ? null : [...fields] };
  },
  'root-directory': ({ leader }) => ({ output: null, fds: [openRootDirectory(identityOf(leader))] }),
  'locate-copy': ({ leader, copy }) => {
    const { rootUser, from, to } = locateCopy(identityOf(leader), copy);
    return { output: { rootUser }, fds: [from, to] };
  },
  'copy': ({ copy, rootUser, temporary }, [from, to], meter) => {
    copyFiles({ rootUser, from: from as number, to: to as number }, copy, temporary, meter);
    return { output: null };
  },
  'remove-leftovers': ({ leader, copy, temporary }) => {
    removeCopyLeftovers(identityOf(leader), copy, temporary);
    return { output: null };
  },
  'bind': ({ leader, bind }) => ({ output: bindMount(identityOf(leader), bind) }),
  'unbind': ({ leader, destination, mounts }) => ({ output: unbindMount(identityOf(leader), destination, mounts) }),
  'open-terminal': ({ leader }) => {
    const { number, master } = openTerminal(identityOf(leader));
    return { output: number, fds: [master] };
  },
  'connect-bus': ({ leader }) => {
    const { uid, fd } = connectBus(identityOf(leader));
    return { output: { uid }, fds: [fd] };
  },
  'find-entrance': ({ leader, user, program }) => {
    const found = findEntrance(identityOf(leader), user, program);
    return found === undefined ? { output: null } : { output: found.entrance, fds: found.fds };
  },
  'is-known': ({ leader, user, program }) => ({ output: isKnown(identityOf(leader), user, program) }),
  'find-command': ({ leader, user, needs }) => {
    const found = findCommandEntrance(identityOf(leader), user, needs);
    return found === undefined ? { output: null } : { output: found.entrance, fds: found.fds };
  },
  'require-program': ({ leader, program }) => {
    requireProgram(identityOf(leader), program);
    return { output: null };
  },
  'change-image': ({ change, places }, _fds, meter) => {
    changeImage(change, places, meter);
    return { output: null };
  },
  'image-metadata': ({ image, locks }) => ({ output: readMetadata(image, locks) }),
};

/** A helper handles a megabyte or two, and Node takes 50. */
const mostMemory = 512 << 20;

dieWithParent();
limitMemory(mostMemory);
if (process.geteuid?.() === 0) process.setgroups?.([]); // root's groups may read what a guest may not

const usualMask = process.umask();

// Its end is the end of the daemon, or of its need of this process.
const channel = new HelperChannel(channelDescriptor);
for (let message = channel.receive(); message !== undefined; message = channel.receive()) {
  channel.send(answer(message));
}

function carryOut<Name extends TaskName>({ task, input }: Request<Name>, fds: readonly number[]): Outcome<Name> {
  const meter = new WorkMeter(channel);
  const outcome = tasks[task](input, fds, meter);
  meter.finish();
  return outcome;
}

function answer({ text, fds }: HelperMessage): HelperMessage {
  const request = JSON.parse(text) as Request<TaskName>;
  try {
    const { output, fds: found = [] } = carryOut(request, fds);
    return { text: JSON.stringify({ output } satisfies Answer<TaskName>), fds: found };
  } catch (error) {
    if (!isFailure(error, 'system') || error.errno === undefined) throw error;
    return { text: JSON.stringify({ errno: error.errno, message: error.message } satisfies Answer<TaskName>), fds: [] };
  } finally {
    channel.release(fds);
    process.umask(usualMask);
  }
}
