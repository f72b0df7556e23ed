/** What the shells themselves offer, each asked at its own prompt or by its own means, for lines as they are typed. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite, test } from 'node:test';

const completions = path.resolve(import.meta.dirname, '../../../share/completions');

/** Machines and images of any name; --user has others. */
const fakeMachinectl = `#!/bin/sh
case " $* " in
  *' --user '*) echo 'mine container nspawn - - -' ;;
  *' list '*) printf '%s\\n' '.host     host      -      debian 13 -' 'web       container nspawn debian 13 10.0.0.1' 'web-2     vm        qemu   -      -  -' ;;
  *' list-images '*) printf '%s\\n' 'base              directory no  -  -' 'two words         raw       yes 1G -' 'a$(touch hacked)x subvolume no  -  -' ;;
esac
`;

/** Runs the command in a terminal of its own, and presses the keys there when it is ready for them. */
const driver = `
zmodload zsh/zpty
zpty shell "$1"
wait_for() {
  local shown
  until [[ -e $1 ]]; do
    while zpty -r -t shell shown; do :; done
    sleep 0.05
  done
}
wait_for $WORK/ready
zpty -w -n shell "$2"
wait_for $WORK/done
zpty -d shell`;

class Workplace implements Disposable {
  readonly directory = mkdtempSync(path.join(tmpdir(), 'completion-'));

  constructor(lines: readonly string[]) {
    this.write('bin/machinectl', fakeMachinectl);
    chmodSync(path.join(this.directory, 'bin/machinectl'), 0o755);
    this.write('files/disk.raw', '');
    this.write('files/disk two.raw', '');
    this.write('lines', lines.map((line) => `${line}\n`).join(''));
    this.write('offers', '');
  }

  write(name: string, text: string): void {
    const file = path.join(this.directory, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text);
  }

  run(program: string, ...parameters: readonly string[]): string {
    const { error, status, stdout, stderr } = spawnSync(program, parameters, {
      cwd: path.join(this.directory, 'files'), encoding: 'utf8', timeout: 90_000,
      env: { PATH: `${this.directory}/bin:/usr/bin:/bin`, HOME: this.directory, LC_ALL: 'C.UTF-8', TERM: 'xterm', WORK: this.directory, COMPLETIONS: completions },
    });
    assert.deepEqual([error, status, stderr], [undefined, 0, '']);
    return stdout;
  }

  /** What was found for each line, from a file where each line stands behind '> '. */
  offers(): readonly (readonly string[])[] {
    assert.ok(spawnSync('test', ['-e', path.join(this.directory, 'files/hacked')]).status === 1, 'nothing of a name is run');
    const text = readFileSync(path.join(this.directory, 'offers'), 'utf8');
    return text.split(/^> .*\n/m).slice(1).map((part) => part.split('\n').filter((line) => line !== '').sort());
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true });
  }
}

function inZsh(lines: readonly string[]): readonly (readonly string[])[] {
  using workplace = new Workplace(lines);
  workplace.write('driver.zsh', driver);
  // compadd is what every offer goes through
  workplace.write('.zshrc', `
    fpath=($COMPLETIONS $fpath); autoload -Uz compinit; compinit -u -D
    zstyle ':completion:*' users root testuser
    zstyle ':completion:*' hosts alpha beta
    compadd() {
      local -a hits
      if [[ "\${(j: :)@[1,(i)--]}" != *-[OAD]* ]]; then
        builtin compadd -O hits "$@"
        (( $#hits )) && print -rl -- "\${hits[@]}" >>$WORK/offers
      fi
      builtin compadd "$@"
    }
    zle -C offer complete-word _main_complete
    offer-all() {
      local line
      for line in "\${(@f)$(<$WORK/lines)}"; do
        print -r -- "> $line" >>$WORK/offers
        BUFFER=$line CURSOR=$#line
        zle offer
      done
      : >$WORK/done
    }
    zle -N offer-all; bindkey '^X' offer-all
    zle-line-init() { : >$WORK/ready }
    zle -N zle-line-init`);
  workplace.run('zsh', '-f', path.join(workplace.directory, 'driver.zsh'), 'zsh --no-globalrcs -i', '\x18');
  return workplace.offers();
}

function inFish(lines: readonly string[]): readonly (readonly string[])[] {
  using workplace = new Workplace(lines);
  workplace.run('fish', '--no-config', '-c', `
    source $COMPLETIONS/machinectl.fish
    while read -l line
      echo "> $line" >>$WORK/offers
      complete -C "$line" | string replace -r '\\t.*' '' >>$WORK/offers
    end <$WORK/lines
    true`);
  // fish offers whole words, zsh what follows '=' or '@'
  return workplace.offers().map((offers) => offers.map((offer) => offer.replace(/^--[a-z-]+=(?=.)|^[^@]*@/, '')));
}

/** The lines with everything that fits in the place of the last word. */
function inBash(lines: readonly string[]): readonly string[] {
  using workplace = new Workplace(lines);
  workplace.write('driver.zsh', driver);
  workplace.write('.bashrc', `
    source "$COMPLETIONS/machinectl.bash"
    mapfile -t lines <"$WORK/lines"
    next=0
    load() { READLINE_LINE=\${lines[next]}; READLINE_POINT=\${#READLINE_LINE}; next=$((next + 1)); }
    save() {
      printf '> \\n%s\\n' "$READLINE_LINE" >>"$WORK/offers"
      READLINE_LINE=
      (( next < \${#lines[@]} )) || : >"$WORK/done"
    }
    bind -x '"\\C-g": load'; bind '"\\C-xi": insert-completions'; bind -x '"\\C-t": save'
    PROMPT_COMMAND=': >"$WORK/ready"'`);
  workplace.run('zsh', '-f', path.join(workplace.directory, 'driver.zsh'), 'bash -i', lines.map(() => '\x07\x18i\x14').join(''));
  return workplace.offers().map(([line = '']) => line);
}

const machines = ['.host', 'web', 'web-2'];
const images = ['a$(touch hacked)x', 'base', 'two words'];

/** The first line is also the first that the shell completes at all: it has loaded nothing yet. */
const offered: readonly (readonly [line: string, ...offers: readonly string[]])[] = [
  ['machinectl status ', ...machines],
  ['machinectl li', 'list', 'list-images', 'list-transfers'],
  ['machinectl status web w', 'web', 'web-2'],
  ['machinectl shell root@', ...machines],
  ['machinectl shell root@we', 'web', 'web-2'],
  ['machinectl --user status ', 'mine'],
  ['machinectl login web '],
  ['machinectl wait web a', 'answering'],
  ['machinectl -M w', 'web', 'web-2'],
  ['machinectl start ', ...images],
  ['machinectl read-only base ', 'no', 'yes'],
  ['machinectl set-limit b', 'base'],
  ['machinectl kill web --signal=SIGK', 'SIGKILL'],
  ['machinectl kill web -s SIGTE', 'SIGTERM'],
  ['machinectl --kill-whom=', 'all', 'leader', 'supervisor'],
  ['machinectl start --run', '--runner'],
  ['machinectl --json=', 'off', 'pretty', 'short'],
  ['machinectl --uid=roo', 'root'],
  ['machinectl -- stat', 'status'],
  ['machinectl exec web --qui', '--quiet'],
  ['machinectl exec web ls --qui'],
  ['machinectl exec web ls we'],
  ['machinectl shell -q web --qui', '--quiet'],
  ['machinectl copy-to web disk.', 'disk.raw'],
  ['machinectl copy-from web disk.'],
  ['machinectl copy-from web /etc/motd disk.', 'disk.raw'],
  ['machinectl cat di', 'disk two.raw', 'disk.raw'],
];

const inReadline: readonly (readonly [line: string, completed: string])[] = [
  ['machinectl status ', 'machinectl status .host web web-2 '],
  ['machinectl li', 'machinectl list list-images list-transfers '],
  ['machinectl shell root@web-', 'machinectl shell root@web-2 '],
  ['machinectl shell root@.', 'machinectl shell root@.host '],
  ['machinectl --user status ', 'machinectl --user status mine '],
  ['machinectl clone tw', 'machinectl clone two\\ words '],
  ['machinectl kill web --signal=SIGK', 'machinectl kill web --signal=SIGKILL '],
  ['machinectl --json=', 'machinectl --json=off pretty short '],
  ['machinectl exec web ls --qui', 'machinectl exec web ls --qui'],
  ['machinectl copy-to web disk\\ t', 'machinectl copy-to web disk\\ two.raw '],
  ['machinectl cat disk.', 'machinectl cat disk.raw '],
];

function found(complete: (lines: readonly string[]) => readonly (readonly string[])[]): readonly (readonly (string | undefined)[])[] {
  const lines = offered.map(([line]) => line);
  return complete(lines).map((offers, index) => [lines[index], ...offers.map((offer) => offer.replaceAll('\\ ', ' ')).sort()]);
}

suite('completions at the prompt', () => {
  test('zsh', missing(['zsh']), () => assert.deepEqual(found(inZsh), offered));

  test('fish', missing(['fish']), () => {
    // fish keeps names with a dot to itself until that is typed
    const shown = offered.map(([line, ...offers]) => [line, ...offers.filter((offer) => !line.endsWith(' ') || !offer.startsWith('.'))]);
    assert.deepEqual(found(inFish), shown);
  });

  test('bash', missing(['zsh']), () => {
    assert.deepEqual(inBash(inReadline.map(([line]) => line)), inReadline.map(([, completed]) => completed));
  });
});

/** Who runs these without the shells is told so; .ci/run installs them, and takes nothing as passed that was skipped. */
function missing(shells: readonly string[]): { readonly skip: string | false } {
  const absent = shells.filter((shell) => spawnSync(shell, ['-c', 'true']).error !== undefined);
  return { skip: absent.length > 0 && `needs ${absent.join(', ')}` };
}
