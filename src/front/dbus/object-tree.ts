import type { ObjectKind } from './objects.js';

/** One path of the tree: what is there, if anything, and what is one level below. */
export interface TreeNode {
  readonly kind: ObjectKind | undefined;
  /** The last parts of the paths one level below. */
  children(): readonly string[] | Promise<readonly string[]>;
}

const noChildren: readonly string[] = [];

/** Objects at fixed paths, and families of objects one level below a prefix. */
export class ObjectTree {
  readonly #fixed = new Map<string, TreeNode>();
  readonly #hidden = new Map<string, TreeNode>();
  readonly #families = new Map<string, TreeNode>();

  /** Also makes the nodes above it, which hold nothing but children. */
  addObject<Target>(path: string, kind: ObjectKind<Target>): void {
    this.#fixed.set(path, { kind: erase(kind), children: () => this.#below(path) });
    this.#addParents(path);
  }

  /** One that is where it is for those who know of it: nothing above it, and no list of children, shows it. */
  addHiddenObject<Target>(path: string, kind: ObjectKind<Target>): void {
    this.#hidden.set(path, { kind: erase(kind), children: () => noChildren });
  }

  /** Objects at `prefix`/LABEL; `labels` lists those that are there now. The prefix itself is an object without methods. */
  addFamily<Target>(prefix: string, kind: ObjectKind<Target>, labels: TreeNode['children']): void {
    const empty: ObjectKind = { interfaces: [], find: () => prefix };
    this.#fixed.set(prefix, { kind: empty, children: labels });
    this.#families.set(prefix, { kind: erase(kind), children: () => noChildren });
    this.#addParents(prefix);
  }

  node(path: string): TreeNode | undefined {
    const fixed = this.#fixed.get(path) ?? this.#hidden.get(path);
    if (fixed !== undefined) return fixed;
    return this.#families.get(path.slice(0, path.lastIndexOf('/')));
  }

  #addParents(path: string): void {
    for (let end = path.lastIndexOf('/'); end >= 0; end = path.lastIndexOf('/', end - 1)) {
      const parent = end === 0 ? '/' : path.slice(0, end);
      if (!this.#fixed.has(parent)) this.#fixed.set(parent, { kind: undefined, children: () => this.#below(parent) });
      if (end === 0) return;
    }
  }

  #below(parent: string): readonly string[] {
    const prefix = parent === '/' ? '/' : `${parent}/`;
    const below = [...this.#fixed.keys()].filter((path) => path !== parent && path.startsWith(prefix));
    return below.map((path) => path.slice(prefix.length)).filter((rest) => !rest.includes('/')).sort();
  }
}

/** A kind's interfaces are only ever given what its own find() found, so it does not matter here what that is. */
function erase<Target>(kind: ObjectKind<Target>): ObjectKind {
  return kind as unknown as ObjectKind;
}
