import { enumeration, error, integer, method, nullable, required, string, structure, varlinkInterface } from '../../wire/varlink/schema.js';
import { anyone, cancelAuthorizations } from '../authorization.js';
import { interactiveField } from './types.js';

const operationEvent = enumeration('OperationEvent', 'What is told of an operation.', {
  present: 'It was under way before.',
  ready: 'All that were under way have been told; what follows has just happened. Comes without an operation.',
  added: 'It has begun.',
  progress: 'It has come further.',
  ended: 'It is over: this is what was last known of it, with its result.',
});

const operationResult = enumeration('OperationResult', 'How an operation has ended.', {
  done: 'It is done.',
  failed: 'It has failed.',
  canceled: 'It was canceled, or its machine has ended; what it had made is taken back.',
});

const operation = structure('Operation', 'Something that takes its time.', {
  id: required(integer(), 'A number that no other has had since the daemon was started.'),
  kind: required(string, 'copy-from and copy-to (of machines), clone, remove and clean (of images).'),
  machine: nullable(string, 'The machine that it is about.'),
  image: nullable(string, 'The image that it is about.'),
  source: nullable(string, 'The path that is copied, or the image that is cloned.'),
  destination: nullable(string, 'The path that it is copied to, or the name of the clone.'),
  uid: nullable(integer(), 'Who began it.'),
  pid: nullable(integer(), 'The process that began it.'),
  bytesDone: nullable(integer(), 'How many bytes have been copied.'),
  bytesTotal: nullable(integer(), 'How many there are; absent if that is not known.'),
  filesDone: nullable(integer(), 'How many files and directories have been copied or removed.'),
  filesTotal: nullable(integer(), 'How many there are; absent if that is not known.'),
  result: nullable(operationResult, 'How it has ended.'),
  error: nullable(string, 'Why it is not done, in words.'),
});

/** What is under way, on the socket of what this project adds. */
export const ownOperationsVarlink = varlinkInterface({
  name: 'io.machined.Operations',
  documentation: 'What is under way: copies from and to machines, and images that are cloned, removed and cleaned away.',
  types: [operationEvent, operationResult, operation],
  methods: {
    List: method({
      documentation: 'Tells what is under way, and then, until the caller hangs up, what begins, how far it comes, and how it ends.',
      input: {},
      output: { event: required(operationEvent, 'What is told.'), operation: nullable(operation, 'Of which operation.') },
      more: 'requires',
      extra: { authorization: anyone },
    }),
    Cancel: method({
      documentation: 'Asks for the end of an operation. Its owner may do so, and who may begin such operations.',
      input: { id: required(integer({ minimum: 0 }), 'Its number.'), ...interactiveField },
      output: {},
      // those of machines have an authorization of their own: see cancelAuthorizations
      extra: { authorization: cancelAuthorizations.image },
    }),
  },
  errors: {
    NoSuchOperation: error('No such operation is under way.'),
    NotCancelable: error('This operation has no way back.'),
  },
});
