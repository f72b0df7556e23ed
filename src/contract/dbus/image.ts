import { anyone, polkit } from '../authorization.js';
import { dbusInterface, method, property } from './declare.js';

/** The interface of /org/freedesktop/machine1/image/NAME. Source: org.freedesktop.machine1(5). */
export const imageInterface = dbusInterface('org.freedesktop.machine1.Image', {
  properties: {
    Name: property('s', 'false'),
    Path: property('s', 'false'),
    Type: property('s', 'false'),
    ReadOnly: property('b', 'false'),
    CreationTimestamp: property('t', 'false'),
    ModificationTimestamp: property('t', 'false'),
    Usage: property('t', 'false'),
    Limit: property('t', 'false'),
    UsageExclusive: property('t', 'false'),
    LimitExclusive: property('t', 'false'),
  },
  methods: {
    Remove: method({ authorization: polkit('manage-images', { subject: 'image', verb: 'remove' }) }),
    Rename: method({ in: { new_name: 's' }, unnamed: true, authorization: polkit('manage-images', { subject: 'image', verb: 'rename' }) }),
    Clone: method({
      in: { new_name: 's', read_only: 'b' },
      unnamed: true,
      authorization: polkit('manage-images', { subject: 'image', verb: 'clone' }),
    }),
    MarkReadOnly: method({
      in: { read_only: 'b' },
      unnamed: true,
      authorization: polkit('manage-images', { subject: 'image', verb: 'mark_read_only' }),
    }),
    SetLimit: method({ in: { limit: 't' }, unnamed: true, authorization: polkit('manage-images', { subject: 'machine', verb: 'set_limit' }) }),
    GetHostname: method({ out: { hostname: 's' }, unnamed: true, authorization: anyone }),
    GetMachineID: method({ out: { id: 'ay' }, unnamed: true, authorization: anyone }),
    GetMachineInfo: method({ out: { machine_info: 'a{ss}' }, unnamed: true, authorization: anyone }),
    GetOSRelease: method({ out: { os_release: 'a{ss}' }, unnamed: true, authorization: anyone }),
  },
  signals: {},
});
