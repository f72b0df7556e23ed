import { anyone, cancelAuthorizations } from '../authorization.js';
import { dbusInterface, method, signal } from './declare.js';

/**
 * What is under way, at /io/machined. Details are those of io.machined.Operations on Varlink, where they are described:
 * machine, image, source, destination (s), uid, pid (u), bytesDone, bytesTotal, filesDone, filesTotal (t), if known.
 */
export const ownOperationsInterface = dbusInterface('io.machined.Operations', {
  properties: {},
  methods: {
    ListOperations: method({ out: { operations: 'a(tsa{sv})' }, authorization: anyone }),
    // those of machines have an authorization of their own: see cancelAuthorizations
    CancelOperation: method({ in: { id: 't' }, authorization: cancelAuthorizations.image }),
  },
  signals: {
    OperationNew: signal({ id: 't', kind: 's', details: 'a{sv}' }),
    OperationProgress: signal({ id: 't', kind: 's', details: 'a{sv}' }),
    /** `result` is done, failed or canceled; `error` says why in words, or is ''. */
    OperationRemoved: signal({ id: 't', kind: 's', result: 's', error: 's' }),
  },
});
