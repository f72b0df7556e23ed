import { arrayOf, error, integer, method, nullable, required, string, varlinkInterface } from '../../wire/varlink/schema.js';
import { anyone, rootOnly } from '../authorization.js';
import { interactiveField } from './types.js';

const logLevel = integer({ minimum: 0, maximum: 7, text: true });

/** What every service of systemd's kind offers for its own upkeep. */
export const serviceVarlink = varlinkInterface({
  name: 'io.systemd.service',
  documentation: 'The upkeep of a service.',
  types: [],
  methods: {
    Ping: method({ documentation: 'Answers.', input: {}, output: {}, extra: { authorization: anyone } }),
    Reload: method({
      documentation: 'Reads the configuration again.',
      input: interactiveField,
      output: {},
      extra: { authorization: rootOnly },
    }),
    SetLogLevel: method({
      documentation: 'Sets how much is logged.',
      input: {
        level: nullable(logLevel, 'The least important level that still is, 0 to 7: syslog(3); null: the usual one, 6.', {
          acceptsNull: true,
          mandatory: true,
        }),
      },
      output: {},
      extra: { authorization: rootOnly },
    }),
    GetLogLevel: method({
      documentation: 'Says how much is logged.',
      input: {},
      output: { level: required(integer(), 'The least important level that still is, 0 to 7: syslog(3).') },
      extra: { authorization: anyone },
    }),
    GetEnvironment: method({
      documentation: 'Says what is in the environment.',
      input: {},
      output: { environment: nullable(arrayOf(string), 'KEY=value each.') },
      extra: { authorization: rootOnly },
    }),
  },
  errors: { InconsistentEnvironment: error('The environment holds something that is no variable.') },
});

/** The errors that any method of a service of systemd's kind may answer with. */
export const systemVarlink = varlinkInterface({
  name: 'io.systemd',
  documentation: 'Errors that have nothing to do with what was asked.',
  types: [],
  methods: {},
  errors: {
    Disconnected: error('The connection broke (never sent: made by the receiver).'),
    TimedOut: error('No answer came in time (never sent: made by the receiver).'),
    Protocol: error('The answer was none (never sent: made by the receiver).'),
    System: error('The operating system refused.', {
      origin: nullable(string, "Whose numbers these are: 'linux'."),
      errnoName: nullable(string, 'The name of the error, ENOENT for one: errno(3).'),
      errno: nullable(integer(), 'Its number.'),
    }),
  },
});

/** Source: https://varlink.org/Service. */
export const varlinkServiceVarlink = varlinkInterface({
  name: 'org.varlink.service',
  documentation: 'What a Varlink service says of itself.',
  types: [],
  methods: {
    GetInfo: method({
      documentation: 'Says what this is.',
      input: {},
      output: {
        vendor: required(string, 'Who makes it.'),
        product: required(string, 'What it is.'),
        version: required(string, 'Its version.'),
        url: required(string, 'Where there is more to read.'),
        interfaces: required(arrayOf(string), 'The interfaces that it has.'),
      },
      extra: { authorization: anyone },
    }),
    GetInterfaceDescription: method({
      documentation: 'Describes an interface, in the language of this text.',
      input: { interface: required(string, 'Its name.') },
      output: { description: required(string, 'The description.') },
      extra: { authorization: anyone },
    }),
  },
  errors: {
    InterfaceNotFound: error('There is no such interface.', { interface: required(string, 'Its name.') }),
    MethodNotFound: error('There is no such method.', { method: required(string, 'Its name.') }),
    MethodNotImplemented: error('The method is described, but does not work.', { method: required(string, 'Its name.') }),
    InvalidParameter: error('A parameter is wrong.', { parameter: required(string, 'Its name.') }),
    PermissionDenied: error('The caller may not do this.'),
    ExpectedMore: error("The method has to be called with 'more'."),
  },
});
