// Changes of images whose process is killed at every step: the old state has to be there, or the new one, and nothing else.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ImageType } from '../../src/domain/image.js';
import type { Meter } from '../../src/host/guests/work-meter.js';
import { changeImage } from '../../src/host/images/change-image.js';
import type { ImageChange, ImagePlaces, ImageText } from '../../src/host/images/image-change.js';
import { describeImage } from '../../src/host/images/describe.js';
import { openDirectory } from '../../src/host/images/image-files.js';
import { removeTree } from '../../src/host/images/remove-tree.js';
import { readFileStatus } from '../../src/host/kernel/file-status.js';

const unheard: Meter = { expect: () => undefined, count: () => undefined, keepAlive: () => undefined };
const program = fileURLToPath(new URL('./killed-change.js', import.meta.url));
/** A pool, and what belongs to it. */
export class Scene implements Disposable {
  readonly root: string;
  readonly pool: string;
  readonly settings: string;

  constructor(parent = tmpdir()) {
    this.root = realpathSync(mkdtempSync(path.join(parent, 'machined-faults-')));
    this.pool = path.join(this.root, 'pool');
    this.settings = path.join(this.root, 'settings');
    for (const directory of [this.pool, this.settings, path.join(this.root, 'locks')]) mkdirSync(directory);
  }

  places(instance: string): ImagePlaces {
    const { root, pool, settings } = this;
    return { directories: [pool], pool, settings: [settings], locks: path.join(root, 'locks'), instance };
  }

  in(file: string): string {
    return path.join(this.pool, file);
  }

  image(name: string, type: ImageType): ImageText {
    return { name, type, path: this.in(type === 'raw' ? `${name}.raw` : name) };
  }

  /** Every file, with what matters of it. */
  state(): string[] {
    return readdirSync(this.root, { recursive: true, encoding: 'utf8' }).map((file) => {
      const whole = path.join(this.root, file);
      const { mode, size } = statSync(whole);
      const contents = statSync(whole).isFile() ? `${size} ${readFileSync(whole, 'latin1').slice(0, 64)}` : '';
      const status = readFileStatus(whole, 'as-links');
      assert.ok(status !== undefined);
      const subvolume = status.inode === 256n ? describeImage(file, whole, status, false).image : undefined;
      return `${file} ${mode.toString(8)} ${status.immutable} ${contents} ${subvolume?.readOnly} ${subvolume?.limit}`;
    }).sort();
  }

  [Symbol.dispose](): void {
    using parent = openDirectory(path.dirname(this.root));
    removeTree(parent.fd, Buffer.from(path.basename(this.root)), () => undefined); // however much it is protected
  }
}

export type MakeChange = (scene: Scene) => ImageChange;

/** Both are made anew for each attempt. Returns how often it was killed before it came to its end. */
export function killEverywhere(prepare: (scene: Scene) => void, change: MakeChange, parent?: string): number {
  const after = stateAfter(prepare, change, parent);
  for (let number = 0; ; number++) {
    using scene = newScene(prepare, parent);
    const before = scene.state();
    const hasEnded = runUntil(number, scene, change(scene), 'killed.1');
    tidyUp(scene);
    assertEither(scene.state(), hasEnded ? after : before, after, `killed before call ${number}`);
    if (hasEnded) return number;
  }
}

/** Wherever a change leaves something to settle, what settles it is killed as well. Returns how often that was. */
export function killSettlingEverywhere(prepare: (scene: Scene) => void, change: MakeChange): number {
  const after = stateAfter(prepare, change);
  for (let number = 0, kills = 0; ; number++) {
    for (let second = 0; ; second++) {
      using scene = newScene(prepare);
      const before = scene.state();
      if (runUntil(number, scene, change(scene), 'killed.1')) return kills;
      if (!readdirSync(scene.pool).some((file) => file.endsWith('.journal'))) break;
      const hasEnded = runUntil(second, scene, { kind: 'settle', failed: null }, 'settled.1');
      tidyUp(scene);
      assertEither(scene.state(), before, after, `killed before call ${number}, and settling before call ${second}`);
      if (hasEnded) break;
      kills++;
    }
  }
}

function tidyUp(scene: Scene): void {
  for (const kind of ['settle', 'sweep'] as const) changeImage({ kind, failed: null }, scene.places('later.1'), unheard);
}

function stateAfter(prepare: (scene: Scene) => void, change: MakeChange, parent?: string): string[] {
  using scene = newScene(prepare, parent);
  changeImage(change(scene), scene.places('whole.1'), unheard);
  return scene.state();
}

function newScene(prepare: (scene: Scene) => void, parent?: string): Scene {
  process.umask(0o022); // changes are made by processes of their own, and leave it at 0
  const scene = new Scene(parent);
  prepare(scene);
  return scene;
}

/** Returns whether it has come to its end. */
function runUntil(number: number, scene: Scene, change: ImageChange, instance: string): boolean {
  const parameters = [String(number), JSON.stringify(change), JSON.stringify(scene.places(instance))];
  const { status, signal, stderr } = spawnSync(process.execPath, [program, ...parameters], { encoding: 'utf8' });
  assert.ok(status === 0 || signal === 'SIGKILL', stderr);
  return status === 0;
}

function assertEither(state: string[], before: string[], after: string[], when: string): void {
  const isEither = [before, after].some((expected) => JSON.stringify(expected) === JSON.stringify(state));
  if (!isEither) assert.deepEqual(state, before, when);
}

export function addDisk(scene: Scene): void {
  writeFileSync(scene.in('one.raw'), 'contents', { mode: 0o640 });
  for (const ending of ['roothash', 'verity']) writeFileSync(scene.in(`one.${ending}`), ending);
  writeFileSync(path.join(scene.settings, 'one.nspawn'), '[Exec]');
}

export function addTree(scene: Scene): void {
  mkdirSync(scene.in('one/sub'), { recursive: true });
  writeFileSync(scene.in('one/sub/file'), 'text');
  writeFileSync(scene.in('one.nspawn'), '[Files]');
  writeFileSync(path.join(scene.settings, 'one.nspawn'), '[Exec]');
}

export function addProtectedTree(scene: Scene): void {
  addTree(scene);
  execFileSync('chattr', ['+i', scene.in('one')]);
}

/** With another one in it. */
export function addSubvolume(scene: Scene): void {
  for (const name of ['one', 'one/nested']) execFileSync('btrfs', ['-q', 'subvolume', 'create', scene.in(name)]);
  writeFileSync(scene.in('one/nested/file'), 'text');
  writeFileSync(path.join(scene.settings, 'one.nspawn'), '[Exec]');
}
