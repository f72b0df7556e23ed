import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatProgramAddress, parseAddresses } from '../../src/wire/dbus/address.js';
import { BoundedCache } from '../../src/wire/dbus/bounded-cache.js';
import { WireError } from '../../src/wire/dbus/errors.js';
import { introspectionXml } from '../../src/wire/dbus/introspection.js';
import { isObjectPath } from '../../src/wire/dbus/names.js';
import { escapeLabel, unescapeLabel } from '../../src/wire/dbus/object-path.js';

test('labels of object paths', () => {
  const labels = {
    '': '_',
    'a-b': 'a_2db',
    '9lives': '_39lives',
    'l9': 'l9',
    '.host': '_2ehost',
    'img-ümlaut': 'img_2d_c3_bcmlaut',
    _: '_5f',
    a_b: 'a_5fb',
    '😀': '_f0_9f_98_80',
    '\ufeffx': '_ef_bb_bfx',
  };
  for (const [text, label] of Object.entries(labels)) {
    assert.equal(escapeLabel(text), label);
    assert.equal(unescapeLabel(label), text);
    assert.ok(isObjectPath(`/machine/${label}`));
  }
  assert.equal(unescapeLabel('_41_2D'), 'A-');
  const malformed = ['', '__', 'a_', 'a_2', '_2g', 'a-b', 'a/b', 'é', '_ff', '_c3', 'a\n'];
  for (const label of malformed) assert.equal(unescapeLabel(label), undefined, label);
});

test('addresses', () => {
  assert.deepEqual(parseAddresses('unix:path=/run/dbus/system_bus_socket'), [
    { transport: 'unix', path: '/run/dbus/system_bus_socket', guid: undefined },
  ]);
  const several = 'unix:abstract=/tmp/%c3%bc%20x,guid=00ff;tcp:host=localhost,port=1;unixexec:path=ssh,argv1=-xT,argv2=a%20b;';
  assert.deepEqual(parseAddresses(several), [
    { transport: 'unix-abstract', name: '/tmp/ü x', guid: '00ff' },
    { transport: 'unsupported', text: 'tcp:host=localhost,port=1' },
    { transport: 'unixexec', path: 'ssh', arguments: ['-xT', 'a b'], guid: undefined },
  ]);
  assert.equal(formatProgramAddress('/bin/nsenter', ['-t', '1', 'a,b=']), 'unixexec:path=/bin/nsenter,argv1=-t,argv2=1,argv3=a%2cb%3d');
  const withEmpty = formatProgramAddress('ssh', ['--', '']);
  assert.deepEqual(parseAddresses(withEmpty), [{ transport: 'unixexec', path: 'ssh', arguments: ['--', ''], guid: undefined }]);
  for (const listening of ['unix:tmpdir=/tmp', 'unix:runtime=yes', 'autolaunch:']) {
    assert.deepEqual(parseAddresses(listening), [{ transport: 'unsupported', text: listening }]);
  }
  const malformed = [
    '', ';', 'unix', '/run/x', ':path=/x', 'unix:path', 'unix:=x', 'unix:path=', 'unix:path=/a b', 'unix:path=/a%2',
    'unix:path=/%zz', 'unix:path=/%00', 'unix:path=/%ff', 'unix:path=/a,path=/b', 'unix:path=/a,abstract=b',
    'unix:path=/ü',
  ];
  for (const text of malformed) assert.throws(() => parseAddresses(text), WireError, text);
});

test('introspection data', () => {
  const xml = introspectionXml(
    [
      {
        name: 'a.b',
        properties: [
          { name: 'P', type: 'a{sv}', access: 'readwrite', annotations: { 'x.y': '<"&>' } },
          { name: 'Q', type: 's', access: 'read' },
        ],
        methods: [
          { name: 'Ping', args: [] },
          {
            name: 'M',
            args: [{ name: 'n', type: 's', direction: 'in' }, { type: 'o', direction: 'out' }],
            annotations: { d: 'true' },
          },
        ],
        signals: [{ name: 'S', args: [{ name: 'n', type: 's' }] }],
      },
    ],
    ['machine'],
  );
  assert.equal(
    xml,
    `<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"
"https://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">
<node>
 <interface name="a.b">
  <property name="P" type="a{sv}" access="readwrite">
   <annotation name="x.y" value="&lt;&quot;&amp;&gt;"/>
  </property>
  <property name="Q" type="s" access="read"/>
  <method name="Ping"/>
  <method name="M">
   <arg type="s" name="n" direction="in"/>
   <arg type="o" direction="out"/>
   <annotation name="d" value="true"/>
  </method>
  <signal name="S">
   <arg type="s" name="n"/>
  </signal>
 </interface>
 <node name="machine"/>
</node>
`,
  );
});

test('a bounded cache forgets its oldest entry', () => {
  const cache = new BoundedCache<number>(2);
  cache.add('a', 1);
  cache.add('b', 2);
  assert.equal(cache.add('c', 3), 3);
  assert.deepEqual(['a', 'b', 'c'].map((key) => cache.get(key)), [undefined, 2, 3]);
});
