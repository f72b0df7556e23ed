import {
  arrayOf,
  boolean,
  enumeration,
  error,
  integer,
  method,
  nullable,
  required,
  string,
  unsigned64,
  varlinkInterface,
} from '../../wire/varlink/schema.js';
import { isImageName } from '../../domain/image.js';
import { polkit } from '../authorization.js';
import { interactiveField } from './types.js';

const acquireMetadata = enumeration('AcquireMetadata', 'Whether to look into the images that are listed.', {
  no: 'Only what can be seen from outside.',
  yes: 'What is found inside too; what cannot be found is an error.',
  graceful: 'What is found inside too; what cannot be found is left out.',
});

const cleanPoolMode = enumeration('CleanPoolMode', 'Which images are removed.', {
  all: 'All that no machine uses.',
  hidden: 'Those whose name begins with a dot.',
});

const imageName = required(string, 'The name of an image.', { check: isImageName });

const managed = (verb: string) => ({ authorization: polkit('manage-images', { subject: 'image', verb }) });

export const imageVarlink = varlinkInterface({
  name: 'io.systemd.MachineImage',
  documentation: 'Images: what machines are started from.',
  types: [acquireMetadata, cleanPoolMode],
  methods: {
    List: method({
      documentation: "Describes an image, or with 'more' and no name all of them.",
      input: {
        name: nullable(string, 'The name of an image.', { check: isImageName }),
        acquireMetadata: nullable(acquireMetadata, 'Asking for it needs authorization.'),
        ...interactiveField,
      },
      output: {
        name: required(string, 'Its name.'),
        path: nullable(string, 'Where it is.'),
        type: required(string, 'directory, subvolume, raw, block or mstack.'),
        class: required(string, 'machine.'),
        readOnly: required(boolean, 'Whether it may be changed.'),
        creationTimestamp: nullable(integer(), 'When it was made, in µs since 1970.'),
        modificationTimestamp: nullable(integer(), 'When it was changed, in µs since 1970.'),
        usage: nullable(integer(), 'The bytes that it takes.'),
        usageExclusive: nullable(integer(), 'The bytes that it shares with no other.'),
        limit: nullable(integer(), 'The bytes that it may take.'),
        limitExclusive: nullable(integer(), 'The bytes that it may take without sharing.'),
        hostname: nullable(string, 'The name that it gives itself.'),
        machineId: nullable(string, 'Its machine id, 32 hexadecimal digits.'),
        machineInfo: nullable(arrayOf(string), 'What its machine-info(5) says, as KEY=value.'),
        OSRelease: nullable(arrayOf(string), 'What its os-release(5) says, as KEY=value.'),
      },
      more: 'supports',
      extra: { authorization: polkit('inspect-images', { subject: 'name' }) },
    }),
    Update: method({
      documentation: 'Renames an image, makes it read-only or writable, limits its size.',
      input: {
        name: imageName,
        ...interactiveField,
        newName: nullable(string, 'Its new name.', { check: isImageName }),
        readOnly: nullable(boolean, 'Whether it shall be read-only.'),
        limit: nullable(unsigned64({ text: true }), 'The bytes that it may take.', { acceptsNull: true }),
      },
      output: {},
      extra: managed('update'),
    }),
    Clone: method({
      documentation: 'Makes another image of the same contents.',
      input: {
        name: imageName,
        ...interactiveField,
        newName: required(string, 'The name of the new one.', { check: isImageName }),
        readOnly: nullable(boolean, 'Whether the new one is read-only.'),
      },
      output: {},
      extra: managed('clone'),
    }),
    Remove: method({
      documentation: 'Removes an image.',
      input: { name: imageName, ...interactiveField },
      output: {},
      extra: managed('remove'),
    }),
    SetPoolLimit: method({
      documentation: 'Limits the size of all images together.',
      input: { ...interactiveField, limit: required(unsigned64({ text: true }), 'The bytes that they may take.') },
      output: {},
      extra: { authorization: polkit('manage-images', { verb: 'set_pool_limit' }) },
    }),
    CleanPool: method({
      documentation: "Removes images that are not needed, and says which as they go. Not the host's and vendors' ones.",
      input: { ...interactiveField, mode: required(cleanPoolMode, 'Which ones.') },
      output: {
        name: required(string, 'An image that was removed.'),
        usageExclusive: nullable(integer(), 'The bytes that this set free.'),
      },
      more: 'requires',
      extra: { authorization: polkit('manage-images', { verb: 'clean_pool' }) },
    }),
  },
  errors: {
    NoSuchImage: error('There is no such image.'),
    TooManyOperations: error('Too much is under way already; try again later.'),
    NotSupported: error('This cannot be done to such an image.'),
  },
});
