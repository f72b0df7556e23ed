/** Remembers the newest `capacity` results, so that peers who invent keys cannot make it grow. */
export class BoundedCache<Value> {
  readonly #entries = new Map<string, Value>();
  readonly #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get(key: string): Value | undefined {
    return this.#entries.get(key);
  }

  add(key: string, value: Value): Value {
    if (this.#entries.size >= this.#capacity) this.#dropOldest();
    this.#entries.set(key, value);
    return value;
  }

  #dropOldest(): void {
    for (const key of this.#entries.keys()) {
      this.#entries.delete(key);
      return;
    }
  }
}
