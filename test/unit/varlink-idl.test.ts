import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { describe, IdlError, parseDescription, printDescription } from '../../src/wire/varlink/idl.js';
import { Sample } from './varlink-sample.js';

const sampleText = `# A sample
interface org.example.Sample

# What it looks like
type Colour(
	# Like a rose
	red,
	blue,
	dark_green
)

# A process
type ProcessId(
	# Its PID
	pid: int,
	# The inode of its pidfd
	pidfdId: ?int,
	bootId: ?string
)

# Sends a signal
method Kill(
	# A name.
	# Without slashes.
	name: ?string,
	pid: ?ProcessId,
	interactive: ?bool,
	colour: ?Colour,
	# A number or a name
	signal: int
) -> ()

# Lists them.
# One at a time.
# [May be called with 'more']
method List(
	# A name.
	# Without slashes.
	name: ?string,
	pid: ?ProcessId,
	interactive: ?bool,
	metadata: ?Colour
) -> (
	name: string,
	leader: ?ProcessId,
	addresses: ?[]int,
	weight: ?float,
	tags: ?[string]string,
	record: ?object,
	anything: ?any
)

method Map(
	uid: ?int,
	ids: ?[]int
) -> (
	uid: ?int
)

method SetLevel(
	level: ?int
) -> ()

# [Has to be called with 'more']
method Clean(
	mode: Colour
) -> ()

# Nothing there
error NoSuchThing()

error Odd(
	why: string,
	code: ?int
)
`;

suite('varlink IDL', () => {
  test('prints a declaration', () => assert.equal(printDescription(describe(Sample)), sampleText));

  test('what is printed is read as it was', () => assert.deepEqual(parseDescription(sampleText), describe(Sample)));

  test('reads types within types, comments and blanks anywhere, and everything in one line', () => {
    const description = parseDescription(`
      # far away

      # near
      interface a.b-c.d1
      type T(a: ?[]?[string](x: int, y: (one, two)), # trailing
        b: any # trailing too
        # before the end
      ) type Empty() method M()->(a: []T) error E(e: (
        z
      ))`);
    assert.equal(description.documentation, 'near');
    assert.equal(description.name, 'a.b-c.d1');
    assert.deepEqual(description.members.map(({ kind, name }) => `${kind} ${name}`), ['type T', 'type Empty', 'method M', 'error E']);
    assert.deepEqual(description.members[0], {
      kind: 'type', name: 'T', documentation: '',
      definition: {
        kind: 'struct',
        fields: [
          {
            name: 'a', documentation: '',
            shape: { kind: 'nullable', of: { kind: 'array', of: { kind: 'nullable', of: { kind: 'map', of: {
              kind: 'struct',
              fields: [
                { name: 'x', documentation: '', shape: { kind: 'int' } },
                { name: 'y', documentation: '', shape: { kind: 'enum', values: [{ name: 'one', documentation: '' }, { name: 'two', documentation: '' }] } },
              ],
            } } } } },
          },
          { name: 'b', documentation: 'trailing', shape: { kind: 'any' } },
        ],
      },
    });
    assert.deepEqual(parseDescription(printDescription(description)), description);
  });

  for (const text of [
    '', 'interface', 'interface x', 'interface a.b x', 'interface a.b type', 'interface a.b type t(a: int)', 'interface a.b type T', 'interface a.b type T(',
    'interface a.b type T(a', 'interface a.b type T(a:)', 'interface a.b type T(a: int', 'interface a.b type T(a: int,)', 'interface a.b type T(a, b: int)',
    'interface a.b type T(a: int, b)', 'interface a.b method M()', 'interface a.b method M() ->', 'interface a.b method M(a) -> ()', 'interface a.b error E(a)',
    'interface a.b type T(a: strin)', 'interface a.b type T(a_: int)', 'interface a.b type T(a: []) ', 'interface a.b type T(a: int;)', 'type T()',
    `interface a.b type T(a: ${'[]'.repeat(100000)}int)`, `interface a.b type T(a: ${'(a:'.repeat(100000)}`,
  ]) {
    test(`refuses ${text.slice(0, 60)}`, () => assert.throws(() => parseDescription(text), IdlError));
  }
});
