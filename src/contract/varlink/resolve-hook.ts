import {
  arrayOf,
  integer,
  method,
  nullable,
  object,
  refined,
  required,
  string,
  structure,
  varlinkInterface,
} from '../../wire/varlink/schema.js';
import { dnsLabels } from '../../wire/dns-name.js';
import { anyone } from '../authorization.js';

const resourceKey = structure('ResourceKey', 'What is looked up.', {
  class: nullable(integer({ minimum: 0, maximum: 0xffff, text: true }), 'The class of records; IN (1) if absent.', { acceptsNull: true }),
  type: required(integer({ minimum: 0, maximum: 0xffff, text: true }), 'The type of records: A (1), AAAA (28), ….'),
  name: required(refined(string, (name) => dnsLabels(name) !== undefined), 'The domain name.'),
});

/** The members of all kinds of records, of which each record has a few. Source: the RFCs of the record types. */
const resourceRecord = structure('ResourceRecord', 'A record that was found.', {
  key: required(resourceKey),
  priority: nullable(integer()),
  weight: nullable(integer()),
  port: nullable(integer()),
  name: nullable(string),
  cpu: nullable(string),
  os: nullable(string),
  items: nullable(arrayOf(string)),
  address: nullable(arrayOf(integer())),
  mname: nullable(string),
  rname: nullable(string),
  serial: nullable(integer()),
  refresh: nullable(integer()),
  retry: nullable(integer()),
  expire: nullable(integer()),
  minimum: nullable(integer()),
  exchange: nullable(string),
  version: nullable(integer()),
  size: nullable(integer()),
  horiz_pre: nullable(integer()),
  vert_pre: nullable(integer()),
  latitude: nullable(integer()),
  longitude: nullable(integer()),
  altitude: nullable(integer()),
  keyTag: nullable(integer()),
  algorithm: nullable(integer()),
  digestType: nullable(integer()),
  digest: nullable(string),
  fptype: nullable(integer()),
  fingerprint: nullable(string),
  flags: nullable(integer()),
  protocol: nullable(integer()),
  dnskey: nullable(string),
  signer: nullable(string),
  typeCovered: nullable(integer()),
  labels: nullable(integer()),
  originalTtl: nullable(integer()),
  expiration: nullable(integer()),
  inception: nullable(integer()),
  signature: nullable(string),
  nextDomain: nullable(string),
  types: nullable(arrayOf(integer())),
  iterations: nullable(integer()),
  salt: nullable(string),
  hash: nullable(string),
  certUsage: nullable(integer()),
  selector: nullable(integer()),
  matchingType: nullable(integer()),
  data: nullable(string),
  tag: nullable(string),
  value: nullable(string),
  target: nullable(string),
  svcparams: nullable(object),
  order: nullable(integer()),
  preference: nullable(integer()),
  naptrFlags: nullable(string),
  services: nullable(string),
  regexp: nullable(string),
  replacement: nullable(string),
});

const question = structure('Question', 'One thing that is looked up.', { key: required(resourceKey, 'What it is.') });

const answer = structure('Answer', 'One thing that was found.', {
  rr: nullable(resourceRecord, 'The record, for people to read.'),
  raw: required(string, 'The record as DNS has it on the wire, in Base64: this is what counts.'),
});

/** How systemd-resolved asks others for names. Source: systemd-resolved.service(8), "Hooks". */
export const resolveHookVarlink = varlinkInterface({
  name: 'io.systemd.Resolve.Hook',
  documentation: 'Answers questions for domain names before DNS is asked.',
  types: [answer, question, resourceKey, resourceRecord],
  methods: {
    QueryFilter: method({
      documentation: 'Says for which names it is worth to ask here; again whenever that changes.',
      input: {},
      output: {
        filterDomains: nullable(arrayOf(string), 'Names and the domains of names to ask for; none: ask for nothing.'),
        filterLabelsMin: nullable(integer(), 'The fewest labels that such a name has.'),
        filterLabelsMax: nullable(integer(), 'The most labels that such a name has.'),
      },
      more: 'supports',
      extra: { authorization: anyone },
    }),
    ResolveRecord: method({
      documentation: 'Answers questions, or leaves them to others by answering nothing.',
      input: { question: required(refined(arrayOf(question), (keys) => keys.length > 0), 'What is looked up, all of it at once.') },
      output: {
        rcode: nullable(integer(), 'The answer is final, with this code of DNS; absent: ask others.'),
        answer: nullable(arrayOf(answer), 'What was found; only with rcode 0.'),
      },
      extra: { authorization: anyone },
    }),
  },
  errors: {},
});
