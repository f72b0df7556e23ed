// What machinectl asks of storage providers: io.systemd.StorageProvider of systemd 262, storagectl(1).
import { boolean, enumeration, integer, method, nullable, required, string, unsigned64, varlinkInterface } from '../wire/varlink/schema.js';

const createMode = enumeration('CreateMode', 'Whether a volume may or must be there.', { any: '', new: '', open: '' });
const volumeType = enumeration('VolumeType', 'What a volume is to the kernel.', { blk: '', reg: '', dir: '' });

export const storageProvider = varlinkInterface({
  name: 'io.systemd.StorageProvider',
  documentation: 'A program that has volumes.',
  types: [createMode, volumeType],
  methods: {
    Acquire: method({
      documentation: 'Gives a descriptor of a volume.',
      input: {
        name: required(string),
        createMode: nullable(createMode),
        template: nullable(string),
        readOnly: nullable(boolean),
        requestAs: nullable(volumeType),
        createSizeBytes: nullable(unsigned64()),
        allowInteractiveAuthentication: nullable(boolean),
      },
      output: { fileDescriptorIndex: required(integer()), type: required(volumeType) },
      extra: {},
    }),
  },
  errors: {},
});
