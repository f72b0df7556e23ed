import { anyone, polkit, shell } from '../authorization.js';
import { dbusInterface, method } from './declare.js';

/** The interface of /io/machined: what this project adds to org.freedesktop.machine1.Manager. */
export const ownManagerInterface = dbusInterface('io.machined.Manager', {
  properties: {},
  methods: {
    UnbindMachine: method({
      in: { name: 's', destination: 's' },
      authorization: polkit('manage-machines', { subject: 'machine', verb: 'unbind' }),
    }),
    // Runs a command in a machine, until it ends or its caller leaves the bus. Descriptors are 'input', 'output' and 'error';
    // those that are not given are /dev/null. '' is the machine's root, and the user's home directory; the time limit is in
    // µs, 0 for none. `pid` is the host's.
    StartExec: method({
      in: {
        name: 's', user: 's', command: 'as', environment: 'as', working_directory: 's', time_limit_usec: 't', descriptors: 'a{sh}',
      },
      out: { id: 't', pid: 'u' },
      authorization: shell,
    }),
    // Waits until it has ended: 'exited' with a status, 'signaled' with a signal, 'timeout', or 'canceled' with 0. Once.
    WaitExec: method({ in: { id: 't' }, out: { result: 's', status: 'i' }, authorization: anyone }),
    SignalExec: method({ in: { id: 't', signal: 'i' }, authorization: anyone }),
    OpenShell: method({
      in: { name: 's', user: 's', path: 's', args: 'as', environment: 'as' },
      out: { pty: 'h', pty_path: 's' },
      authorization: shell,
    }),
  },
  signals: {},
});
