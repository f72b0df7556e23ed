import { polkit } from '../authorization.js';
import { dbusInterface, method } from './declare.js';

/** The interface of /io/machined: what this project adds to org.freedesktop.machine1.Manager. */
export const ownManagerInterface = dbusInterface('io.machined.Manager', {
  properties: {},
  methods: {
    UnbindMachine: method({
      in: { name: 's', destination: 's' },
      authorization: polkit('manage-machines', { subject: 'machine', verb: 'unbind' }),
    }),
  },
  signals: {},
});
