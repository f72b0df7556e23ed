/** KEY=value files: what systemd 262 was seen to write and to understand. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { EnvFileError, formatAssignment, parseEnvFile } from '../../src/wire/env-file.js';

function parse(text: string): Record<string, string> {
  return Object.fromEntries(parseEnvFile(Buffer.from(text)));
}

suite('writing an assignment', () => {
  test('plain values stay plain', () => {
    assert.equal(formatAssignment('NAME', 'x.y'), 'NAME=x.y\n');
    assert.equal(formatAssignment('EMPTY', ''), 'EMPTY=\n');
    assert.equal(formatAssignment('JOB', '/org/freedesktop/systemd1/job/7'), 'JOB=/org/freedesktop/systemd1/job/7\n');
    const plain = `#%+,-./0123456789:=@ABCXYZ]^_abcxyz{}~é😀\u0085`;
    assert.equal(formatAssignment('K', plain), `K=${plain}\n`);
  });

  test('white space, control characters and shell syntax are quoted', () => {
    assert.equal(formatAssignment('NETIF', ' 3 4'), 'NETIF=" 3 4"\n');
    for (const character of [' ', '\t', '\n', '\r', '\x01', '\x1b', '\x7f', ...`!&'()*;<>?[|`]) {
      assert.equal(formatAssignment('K', `x${character}y`), `K="x${character}y"\n`);
    }
  });

  test('four characters are escaped inside quotes', () => {
    assert.equal(formatAssignment('SCOPE', 'machine-a\\x2db.scope'), 'SCOPE="machine-a\\\\x2db.scope"\n');
    assert.equal(formatAssignment('SERVICE', 'a b "c" $d'), 'SERVICE="a b \\"c\\" \\$d"\n');
    assert.equal(formatAssignment('K', '`'), 'K="\\`"\n');
  });

  test('a NUL is refused', () => {
    assert.throws(() => formatAssignment('K', 'a\0b'), RangeError);
  });
});

suite('reading assignments', () => {
  const cases: readonly [string, Record<string, string>][] = [
    ['A=\nB=1\nB=2\nA=3\n', { A: '3', B: '2' }],
    ['NOVALUE\nB=1\n', { B: '1' }],
    ['lower=1\nB C=1\n1X=2\n_Y=3\nÄ=4\n=5\n', { lower: '1', 'B C': '1', '1X': '2', _Y: '3', Ä: '4' }],
    ['A="x\n', { A: 'x\n' }],
    [`A='x y' z\nB=x y\nC='a"b'"c'd"e\n`, { A: 'x yz', B: 'x y', C: `a"bc'de` }],
    ['A="a\\\\$b\\`c\\"d\\n\\x"\nB=a\\b\\ c\nC=x\\\ny\n', { A: 'a\\$b`c"d\\n\\x', B: 'ab c', C: 'xy' }],
    [' A = x \n  B=y  \n\tC=z\t\n', { A: 'x', B: 'y', C: 'z' }],
    ['#c\n;d\nA=1 #x\nB=2;x\n A#=3\n', { A: '1 #x', B: '2;x', 'A#': '3' }],
    ['A=1\rB=2\r\nC=3', { A: '1', B: '2', C: '3' }],
    ['\ufeffA=1\nB=2\n', { '\ufeffA': '1', B: '2' }],
    ['A=""\nB=\'\'\nC= \n', { A: '', B: '', C: '' }],
    ['A=$X\nB="$X"\nC=`x`\n', { A: '$X', B: '$X', C: '`x`' }],
    ['A=1\n\\\nB=2\n# c \\\nC=3\n', { A: '1', B: '2', C: '3' }],
    [`A=x"y z"w\nB=x'y z'w\n`, { A: 'x"y z"w', B: `x'y z'w` }],
    [`A='a\\\\'b'c\nB=1\n`, { A: `a\\\\b'c`, B: '1' }],
    [`A='a\\\nb'\nB=1\n`, { A: 'a\\\nb', B: '1' }],
    ['A="a\\\nb"\nB=1\n', { A: 'ab', B: '1' }],
    ['A="a\rb"\nB=1\n', { A: 'a\rb', B: '1' }],
    ['A="a\\', { A: 'a' }],
    ['A=a\\', { A: 'a' }],
    ['A=x\\ \nB=x\\ \\ z\\  \nC=x \\ \n', { A: 'x ', B: 'x  z ', C: 'x  ' }],
    ['A=  "x"  "y"  \nB="x"  y  "z" \n', { A: 'xy', B: 'xy  "z"' }],
    ['A="x"#c\nB="x" #c\n', { A: 'x#c', B: 'x#c' }],
    ['A=\\\n  x\nB=\\"x\\"\n', { A: '  x', B: '"x"' }],
    ['A=a\\\rb\n', { A: 'ab' }],
    ['A=\x0bx\x0c \nB=\x0b\n\x0bC=1\n', { A: '\x0bx\x0c', B: '\x0b', '\x0bC': '1' }],
    ['A=1\n  # B=1\nC=1 = 2\nD==\nE=\n', { A: '1', C: '1 = 2', D: '=', E: '' }],
    ['A="b\nB=1\n', { A: 'b\nB=1\n' }],
    ['', {}],
  ];
  for (const [text, expected] of cases) {
    test(JSON.stringify(text), () => assert.deepEqual(parse(text), expected));
  }

  test('keys keep the order in which they first came', () => {
    assert.deepEqual([...parseEnvFile(Buffer.from('Z=1\nA=2\nZ=3\n')).keys()], ['Z', 'A']);
  });

  test('what is no text is refused', () => {
    assert.throws(() => parseEnvFile(Buffer.from('A=\xff\n', 'latin1')), { name: 'EnvFileError', reason: 'not-utf8' });
    assert.throws(() => parseEnvFile(Buffer.from('A=1\0B=2\n')), (error) => error instanceof EnvFileError && error.reason === 'nul');
  });
});
