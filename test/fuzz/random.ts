/** Numbers that look random and are the same on every machine: everything a mutant is follows from its seed. */

export class Random {
  #state: number;

  /** @param seeds whole numbers; the same ones give the same row of numbers */
  constructor(...seeds: readonly number[]) {
    this.#state = 0x9e3779b9;
    for (const seed of seeds) this.#state = Math.imul(this.next() ^ seed, 0x85ebca6b);
  }

  /** 32 bits (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** 0 to `count` - 1. */
  below(count: number): number {
    return Math.floor((this.next() / 2 ** 32) * count);
  }

  chance(probability: number): boolean {
    return this.next() / 2 ** 32 < probability;
  }

  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!;
  }

  /** One of the values, each as often as its weight says. */
  weighed<T>(values: readonly (readonly [weight: number, value: T])[]): T {
    let at = this.below(values.reduce((sum, [weight]) => sum + weight, 0));
    return values.find(([weight]) => {
      at -= weight;
      return at < 0;
    })![1];
  }

  u64(): bigint {
    return (BigInt(this.next()) << 32n) | BigInt(this.next());
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)));
  }
}
