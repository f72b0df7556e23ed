import { userDatabaseVarlink } from '../../contract/varlink/user-database.js';
import { nobodyId } from '../../domain/users.js';
import type { IdKind, MachineUser, Users } from '../../service/users.js';
import { bindVarlink, MethodError, type BoundVarlinkInterface } from './service.js';

const serviceName = 'io.systemd.Machine';

/** io.systemd.UserDatabase: the users and groups of containers. Records as in https://systemd.io/USER_RECORD. */
export function userDatabaseInterface(users: Users): BoundVarlinkInterface {
  return bindVarlink(userDatabaseVarlink, {
    GetUserRecord: ({ uid, userName, service }) => {
      const user = find(users, 'user', service, uid, userName);
      return {
        record: {
          userName: user.name,
          uid: user.outside,
          gid: nobodyId,
          realName: `UID ${user.inside} of Container ${user.machine.name}`,
          homeDirectory: '/',
          shell: '/usr/sbin/nologin',
          locked: true,
          service: serviceName,
          disposition: 'container',
        },
      };
    },
    GetGroupRecord: ({ gid, groupName, service }) => {
      const group = find(users, 'group', service, gid, groupName);
      return {
        record: {
          groupName: group.name,
          gid: group.outside,
          description: `GID ${group.inside} of Container ${group.machine.name}`,
          service: serviceName,
          disposition: 'container',
        },
      };
    },
    GetMemberships: ({ service }) => {
      checkService(service);
      throw failure('NoRecordFound'); // containers keep their memberships to themselves
    },
  });
}

function find(users: Users, kind: IdKind, service: string, id: number | undefined, name: string | undefined): MachineUser {
  checkService(service);
  if (id === undefined && name === undefined) throw failure('EnumerationNotSupported');
  const found = id === undefined ? users.byName(kind, name as string) : users.byId(kind, id);
  if (found === undefined) throw failure('NoRecordFound');
  if (name !== undefined && found.name !== name) throw failure('ConflictingRecordFound');
  return found;
}

function checkService(service: string): void {
  if (service !== serviceName) throw failure('BadService');
}

function failure(name: string): MethodError {
  return new MethodError(`io.systemd.UserDatabase.${name}`);
}
