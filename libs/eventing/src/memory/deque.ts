const SMALL = 16;
const LARGE = 1024;

/** A row open at both ends. Everything is constant time: an array's own `shift()` copies what is left. */
export class Deque<T> {
  private items: (T | undefined)[] = new Array<T | undefined>(SMALL);
  private head = 0;
  private count = 0;

  get size(): number {
    return this.count;
  }

  push(item: T): void {
    if (this.count === this.items.length) this.resize(this.count * 2);
    this.items[(this.head + this.count++) & (this.items.length - 1)] = item;
  }

  unshift(item: T): void {
    if (this.count === this.items.length) this.resize(this.count * 2);
    this.head = (this.head - 1) & (this.items.length - 1);
    this.items[this.head] = item;
    this.count++;
  }

  shift(): T | undefined {
    if (this.count === 0) return undefined;
    const item = this.items[this.head];
    this.items[this.head] = undefined;
    this.head = (this.head + 1) & (this.items.length - 1);
    // What a long backlog took is given back when it is gone.
    if (--this.count === 0 && this.items.length > LARGE) this.resize(SMALL);
    return item;
  }

  first(): T | undefined {
    return this.at(0);
  }

  /** Counted from the front. */
  at(index: number): T | undefined {
    return index < this.count ? this.items[(this.head + index) & (this.items.length - 1)] : undefined;
  }

  /** Replaces the one at `index`, which must be there. */
  set(index: number, item: T): void {
    this.items[(this.head + index) & (this.items.length - 1)] = item;
  }

  clear(): void {
    this.items = new Array<T | undefined>(SMALL);
    this.head = 0;
    this.count = 0;
  }

  *[Symbol.iterator](): IterableIterator<T> {
    for (let index = 0; index < this.count; index++) yield this.at(index) as T;
  }

  /** `length` is a power of two, so that an index wraps by a mask. */
  private resize(length: number): void {
    const items = new Array<T | undefined>(length);
    for (let index = 0; index < this.count; index++) items[index] = this.at(index);
    this.items = items;
    this.head = 0;
  }
}
