import { rootOnly } from '../authorization.js';
import { dbusInterface, property } from './declare.js';

/** Source: org.freedesktop.LogControl1(5). */
export const logControlInterface = dbusInterface('org.freedesktop.LogControl1', {
  properties: {
    LogLevel: property('s', 'false', { set: rootOnly }),
    LogTarget: property('s', 'false', { set: rootOnly }),
    SyslogIdentifier: property('s', 'false'),
  },
  methods: {},
  signals: {},
});
