/** Names of images, and what the names of files say of them. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { isFailure } from '../../src/domain/failure.js';
import { checkImageName, isHiddenImage, isImageName } from '../../src/domain/image.js';
import { entriesOfName, readEntryName } from '../../src/domain/image-entry.js';
import { compareVersions, readVersionedEntry, sortVersions } from '../../src/domain/versioned.js';

suite('the name of an image', () => {
  test('is what a file can be called, as the original has it', () => {
    const names = [
      'x', '9', '.h', '.host', 'a.b', 'img bad', ' s ', 's~', '-dash', '#x', '.x#', 's:colon', 's@at', 'lost+found', 'ümlaut', 'e\u0301',
      '\u0085', '\u202e', '\ufeff', '\ue000', '😀', '...', 'x'.repeat(255), 'é'.repeat(127), 'x.raw', 'x.v',
    ];
    assert.deepEqual(names.filter((name) => !isImageName(name)), []);
  });

  test('is nothing else', () => {
    const names = [
      '', '.', '..', 'a/b', '/', '/x', '.#x', '.#', 'a\tb', 'a\nb', 'a\0', '\u007f', '\uffff', '\ufdd0', '\u{1fffe}', '\ud800',
      'x\udc00', 'x'.repeat(256), 'é'.repeat(128),
    ];
    assert.deepEqual(names.filter(isImageName), []);
  });

  test('is checked with the words of the original', () => {
    assert.equal(checkImageName('x'), 'x');
    assert.throws(() => checkImageName('a/b', 'newName'), (error) => {
      assert.ok(isFailure(error, 'invalid-argument'));
      assert.deepEqual([error.message, error.parameter], ["Image name 'a/b' is invalid.", 'newName']);
      return true;
    });
  });

  test('with a dot in front is hidden', () => {
    assert.deepEqual(['.host', '.x', 'x', 'x.'].filter(isHiddenImage), ['.host', '.x']);
  });
});

suite('the name of a file', () => {
  const read = (file: string) => readEntryName(file).map(({ name, form }) => `${form.versioned ? 'versions of ' : ''}${form.content} ${name}`);

  test('says what it may be', () => {
    assert.deepEqual(read('x'), ['tree x']);
    assert.deepEqual(read('x.raw'), ['tree x.raw', 'file x']);
    assert.deepEqual(read('x.mstack'), ['stack x']);
    assert.deepEqual(read('x.v'), ['versions of tree x']);
    assert.deepEqual(read('x.v.v'), ['versions of tree x.v']);
    assert.deepEqual(read('x.raw.v'), ['versions of file x']);
    assert.deepEqual(read('x.mstack.v'), ['versions of stack x']);
  });

  test('may leave no name for an image', () => {
    assert.deepEqual(['.v', '.raw.v', '..v', '.#x', '.#x.raw', '.', '..', '.mstack', 'a\n'].flatMap(read), []);
    assert.deepEqual(read('.raw'), ['tree .raw']);
    assert.deepEqual(read('..raw'), ['tree ..raw']);
  });
});

suite('an image that is asked for', () => {
  const files = (name: string) => entriesOfName(name).map(({ file, form }) => `${file} ${form.content}`);

  test('may be one of several files', () => {
    assert.deepEqual(files('x'), ['x tree', 'x.raw file', 'x.mstack stack', 'x.v tree', 'x.raw.v file', 'x.mstack.v stack']);
  });

  test('may be asked for by the name of its file', () => {
    assert.deepEqual(files('x.raw').slice(0, 3), ['x.raw file', 'x.raw tree', 'x.raw.raw file']);
    assert.equal(files('x.mstack')[0], 'x.mstack stack');
  });

  test('is never a directory of versions itself', () => {
    assert.deepEqual(files('x.v').filter((file) => file.startsWith('x.v ')), []);
  });

  test('is none without a name for it', () => {
    assert.deepEqual(['', '.', '..', 'a/b', '../x', '.#x', 'x\0', '.#x.raw'].flatMap(files), []);
  });
});

suite('a version', () => {
  const isSorted = (...versions: readonly string[]) => {
    for (const [index, older] of versions.entries()) {
      assert.equal(compareVersions(older, older), 0, older);
      for (const newer of versions.slice(index + 1)) {
        assert.ok(compareVersions(older, newer) < 0, `${older} < ${newer}`);
        assert.ok(compareVersions(newer, older) > 0, `${newer} > ${older}`);
      }
    }
  };

  test('is compared as the specification has it', () => {
    isSorted('~1', '', 'A', 'B', 'a', 'b', '0', '1');
    isSorted('122.1', '123~rc1-1', '123', '123-a', '123-a.1', '123-1', '123-1.1', '123^post1', '123.a-1', '123.1-1', '123a-1', '124-1');
    isSorted('1~', '1', '1-', '1^', '1.', '1A', '1a', '1ab', '2', '10', '99999999999999999999998', '99999999999999999999999');
    isSorted('A2^2', '9');
    isSorted('xB00', '0');
  });

  test('is equal to one that looks different', () => {
    for (const [left, right] of [['1', '01'], ['1__2', '1_2'], ['1.0x', '1.0_x'], ['1+', '1'], ['é1', '1']] as const) {
      assert.equal(compareVersions(left, right), 0, `${left} ${right}`);
    }
  });
});

suite('a directory of versions', () => {
  const best = (files: readonly string[], ending = '', runnable = ['x86-64', 'x86']) =>
    sortVersions(files.map((file) => `x_${file}`), 'x', ending, runnable)[0]?.file.slice(2);

  test('has the newest version', () => {
    assert.equal(best(['1.0', '1.10', '1.9']), '1.10');
    assert.equal(best(['1~rc1', '1', '1^post', '1-2']), '1^post');
    assert.equal(best(['a', '1', 'A']), '1');
    assert.equal(best(['1_foo', '1']), '1_foo');
    assert.equal(best(['1_native', '0']), '1_native');
    assert.equal(best(['01', '1', '001']), '1');
  });

  test('has it for this machine', () => {
    assert.equal(best(['1.0_x86-64', '1.1_arm64']), '1.0_x86-64');
    assert.equal(best(['1.0', '1.0_x86-64']), '1.0_x86-64');
    assert.equal(best(['1.0_x86', '1.0', '1.0_x86-64']), '1.0_x86-64');
    assert.equal(best(['1.0_x86', '1.0']), '1.0_x86');
    assert.equal(best(['1_x86-64', '2_x86', '1.5']), '2_x86');
    assert.equal(best(['1.0_arm64', '0_x86-64'], '', ['arm64']), '1.0_arm64');
    assert.equal(best(['1.0_arm64'], '', []), undefined);
    assert.equal(best(['1_nios2', '0']), '0');
  });

  test('has one that was not tried in vain, if there is any', () => {
    assert.equal(best(['1.0+0', '0.9']), '0.9');
    assert.equal(best(['1.0+0-3', '0.9+1-2']), '0.9+1-2');
    assert.equal(best(['1.0+0-3']), '1.0+0-3');
    assert.equal(best(['1.0+3-1', '1.0+2-0', '1.0+3-0']), '1.0+3-0');
    assert.equal(best(['1_x86-64+1-1', '1_x86-64']), '1_x86-64');
    assert.equal(best(['1+01-007', '0']), '1+01-007');
    assert.equal(best(['1+4294967295', '0']), '1+4294967295');
  });

  test('has files that are called otherwise', () => {
    for (const odd of ['', '_x86-64', '1 2', '1:2', '1,2', '1@2', 'é', '1+', '1+x', '1+1-', '1+1+2', '1+4294967296', '1+1-4294967296']) {
      assert.equal(best([odd]), undefined, odd);
    }
    assert.deepEqual(sortVersions(['x', 'x-2', 'y_1', '.x_1', 'xx_1'], 'x', '', []), []);
  });

  test('has only files with its own ending', () => {
    assert.equal(best(['1.raw', '2.raw', '3'], '.raw'), '2.raw');
    assert.equal(best(['1+2-1.raw', '2_x86-64+0-1.raw', '3_arm64.raw'], '.raw'), '1+2-1.raw');
    assert.equal(best(['2.raw', '1']), '2.raw');
  });

  test('reads all that a name says', () => {
    assert.deepEqual(readVersionedEntry('a_b_1.2_arm64+3-4.raw', 'a_b', '.raw'), {
      file: 'a_b_1.2_arm64+3-4.raw',
      version: '1.2',
      architecture: 'arm64',
      triesLeft: 3,
      triesDone: 4,
    });
  });
});
