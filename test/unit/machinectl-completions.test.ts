import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite, test } from 'node:test';
import { completionFiles } from '../../src/machinectl/completions/files.js';
import { verbs } from '../../src/machinectl/verbs.js';

const directory = path.resolve(import.meta.dirname, '../../../share/completions');

test('the completions of share/ are those of the tables', () => {
  for (const [name, text] of completionFiles()) {
    assert.equal(readFileSync(path.join(directory, name), 'utf8'), text, `${name} is out of date: node scripts/completions.mjs`);
  }
});

/** Machines and images of any name, as both machinectl list them; --user has others. */
const fakeMachinectl = `#!/bin/sh
case " $* " in *" --user "*) echo 'mine container nspawn - - -'; exit ;; esac
case $1 in
  list) printf '%s\\n' 'web       container nspawn debian 13 10.0.0.1' 'web-2     vm        qemu   -      -  -' 'db.local  container nspawn debian 13 -' ;;
  list-images) printf '%s\\n' 'base              directory no  -  -' 'two words         raw       yes 1G -' 'a$(touch hacked)x subvolume no  -  -' ;;
esac
[ "$1" = --user ] && exit
case " $* " in *' --no-legend '*) ;; *) echo 'the footer was not turned off' ;; esac
`;

/** What bash offers; words as bash breaks them, the last one being that which is typed. */
class Bash implements Disposable {
  readonly #directory = mkdtempSync(path.join(tmpdir(), 'completion-'));

  constructor() {
    const program = path.join(this.#directory, 'machinectl');
    writeFileSync(program, fakeMachinectl);
    chmodSync(program, 0o755);
    writeFileSync(path.join(this.#directory, 'disk.raw'), '');
    writeFileSync(path.join(this.#directory, 'disk two.raw'), '');
  }

  complete(...words: readonly string[]): readonly string[] {
    const script = `source "$1"; shift
      COMP_WORDS=(machinectl "$@"); COMP_CWORD=$#
      _machinectl machinectl "\${COMP_WORDS[COMP_CWORD]}" "\${COMP_WORDS[COMP_CWORD-1]}"
      (( \${#COMPREPLY[@]} == 0 )) || printf '%s\\0' "\${COMPREPLY[@]}"`;
    const { status, stdout, stderr } = spawnSync('bash', ['--norc', '-c', script, 'bash', path.join(directory, 'machinectl.bash'), ...words], {
      cwd: this.#directory, encoding: 'utf8', env: { PATH: `${this.#directory}:/usr/bin:/bin`, LC_ALL: 'C' },
    });
    assert.deepEqual([status, stderr], [0, '']);
    return stdout.split('\0').slice(0, -1).sort();
  }

  has(file: string): boolean {
    return spawnSync('test', ['-e', path.join(this.#directory, file)]).status === 0;
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true });
  }
}

suite('bash completes', () => {
  test('verbs', () => {
    using bash = new Bash();
    assert.deepEqual(bash.complete(''), verbs.map(({ name }) => name).sort());
    assert.deepEqual(bash.complete('li'), ['list', 'list-images', 'list-transfers']);
    assert.deepEqual(bash.complete('--no-pager', '-n', '5', 'rea'), ['read-only']);
    assert.deepEqual(bash.complete('--user', 'term'), ['terminate']);
  });

  test('options and their arguments', () => {
    using bash = new Bash();
    assert.deepEqual(bash.complete('--no'), ['--no-ask-password', '--no-legend', '--no-pager', '--now']);
    assert.deepEqual(bash.complete('list', '--js'), ['--json=']);
    assert.deepEqual(bash.complete('--json', '='), ['off', 'pretty', 'short']);
    assert.deepEqual(bash.complete('--json', '=', 's'), ['short']);
    assert.deepEqual(bash.complete('--json', 's'), ['short']);
    assert.deepEqual(bash.complete('kill', 'web', '-s', 'SIGK'), ['SIGKILL']);
    assert.deepEqual(bash.complete('kill', '--signal', '=', 'SIGTE'), ['SIGTERM']);
    assert.deepEqual(bash.complete('--uid', 'roo'), ['root']);
    assert.deepEqual(bash.complete('--lines', ''), []);
    assert.deepEqual(bash.complete('--machine', '=', 'd'), ['db.local']);
  });

  test('machines', () => {
    using bash = new Bash();
    assert.deepEqual(bash.complete('status', ''), ['db.local', 'web', 'web-2']);
    assert.deepEqual(bash.complete('status', 'db.local', 'web'), ['web', 'web-2']);
    assert.deepEqual(bash.complete('kill', '--signal', '=', 'TERM', 'we'), ['web', 'web-2']);
    // what is replaced begins with the '@'
    assert.deepEqual(bash.complete('shell', 'root', '@'), ['@db.local', '@web', '@web-2']);
    assert.deepEqual(bash.complete('shell', 'root', '@', 'd'), ['@db.local']);
    assert.deepEqual(bash.complete('copy-to', 'root', '@', ''), ['disk two.raw', 'disk.raw', 'machinectl'], 'the next word');
    assert.deepEqual(bash.complete('--user', 'status', ''), ['mine']);
    assert.deepEqual(bash.complete('login', 'web', ''), [], 'one is enough');
    assert.deepEqual(bash.complete('wait', 'web', 'a'), ['answering']);
  });

  test('another program’s words are its own', () => {
    using bash = new Bash();
    assert.deepEqual(bash.complete('exec', 'web', '--qui'), ['--quiet']);
    assert.deepEqual(bash.complete('exec', 'web', 'ls', '--qui'), []);
    assert.deepEqual(bash.complete('exec', 'web', 'ls', 'we'), []);
  });

  test('images, whatever their names are', () => {
    using bash = new Bash();
    const all = ['a\\$\\(touch\\ hacked\\)x', 'base', 'two\\ words'];
    assert.deepEqual(bash.complete('start', ''), all);
    assert.deepEqual(bash.complete('clone', 'tw'), ['two\\ words']);
    assert.deepEqual(bash.complete('clone', 'base', ''), []);
    assert.deepEqual(bash.complete('read-only', 'base', ''), ['no', 'yes']);
    assert.deepEqual(bash.complete('edit', ''), [...all, 'db.local', 'web', 'web-2'].sort());
    assert.ok(!bash.has('hacked'), 'nothing of a name is run');
  });

  test('files', () => {
    using bash = new Bash();
    assert.deepEqual(bash.complete('import-raw', 'dis'), ['disk two.raw', 'disk.raw']);
    assert.deepEqual(bash.complete('copy-to', 'web', 'disk.'), ['disk.raw']);
    assert.deepEqual(bash.complete('copy-from', 'web', 'disk.'), [], 'the path is the machine’s');
    assert.deepEqual(bash.complete('copy-from', 'web', '/etc/motd', 'disk.'), ['disk.raw']);
  });
});
