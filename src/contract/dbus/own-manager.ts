import { dbusInterface } from './declare.js';

/** The interface of /io/machined: what this project adds to org.freedesktop.machine1.Manager. */
export const ownManagerInterface = dbusInterface('io.machined.Manager', {
  properties: {},
  methods: {},
  signals: {},
});
