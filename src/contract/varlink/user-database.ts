import {
  arrayOf,
  boolean,
  error,
  integer,
  method,
  nullable,
  object,
  required,
  string,
  varlinkInterface,
} from '../../wire/varlink/schema.js';
import { anyone } from '../authorization.js';
import { refused, userId, userName } from './types.js';

const documentation = {
  service: 'Whose users are meant: the name of this socket.',
  fuzzyNames: 'Names that may match in part.',
  dispositionMask: 'Kinds of users or groups to be found.',
  uuid: 'An id to be found.',
  incomplete: 'Whether parts are missing that the caller may not see.',
};
const free = { authorization: anyone };

/** Source: https://systemd.io/USER_GROUP_API. */
export const userDatabaseVarlink = varlinkInterface({
  name: 'io.systemd.UserDatabase',
  documentation: 'Users and groups, by name or by number.',
  types: [],
  methods: {
    GetUserRecord: method({
      documentation: 'Finds a user.',
      input: {
        uid: nullable(userId, 'By this number.'),
        userName: nullable(userName, 'By this name.'),
        fuzzyNames: nullable(refused(arrayOf(string)), documentation.fuzzyNames),
        dispositionMask: nullable(refused(arrayOf(string)), documentation.dispositionMask),
        uidMin: nullable(refused(integer()), 'The least number to be found.'),
        uidMax: nullable(refused(integer()), 'The greatest number to be found.'),
        uuid: nullable(refused(string), documentation.uuid),
        service: required(string, documentation.service),
      },
      output: { record: required(object, 'The user.'), incomplete: nullable(boolean, documentation.incomplete) },
      more: 'supports',
      extra: free,
    }),
    GetGroupRecord: method({
      documentation: 'Finds a group.',
      input: {
        gid: nullable(userId, 'By this number.'),
        groupName: nullable(userName, 'By this name.'),
        fuzzyNames: nullable(refused(arrayOf(string)), documentation.fuzzyNames),
        dispositionMask: nullable(refused(arrayOf(string)), documentation.dispositionMask),
        gidMin: nullable(refused(integer()), 'The least number to be found.'),
        gidMax: nullable(refused(integer()), 'The greatest number to be found.'),
        uuid: nullable(refused(string), documentation.uuid),
        service: required(string, documentation.service),
      },
      output: { record: required(object, 'The group.'), incomplete: nullable(boolean, documentation.incomplete) },
      more: 'supports',
      extra: free,
    }),
    GetMemberships: method({
      documentation: 'Finds who is in which group.',
      input: {
        userName: nullable(userName, 'Of this user.'),
        groupName: nullable(userName, 'Of this group.'),
        service: required(string, documentation.service),
      },
      output: { userName: required(string, 'A user.'), groupName: required(string, 'A group that the user is in.') },
      more: 'supports',
      extra: free,
    }),
  },
  errors: {
    NoRecordFound: error('There is no such user or group.'),
    BadService: error('Those users are not served here.'),
    ServiceNotAvailable: error('No answer can be had at the moment.'),
    ConflictingRecordFound: error('The name and the number are not of the same user or group.'),
    NonMatchingRecordFound: error('There is such a user or group, but it does not match what else was asked.'),
    EnumerationNotSupported: error('Name one: they cannot all be listed.'),
  },
});
