/**
 * The digest of a stream's content, to verify the target with: a stream cannot be read again. Each range of ITEM_BYTES
 * has one digest, the SHA-256 of its bytes without trailing zeros. A range of zeros has none, so holes cost nothing.
 * There are at most MOST digests. When there are more, each pair becomes the SHA-256 of the first followed by the
 * second, with zeros in place of a missing one; a pair without digests has none.
 */
import { crypto } from '../system/late-modules.js';
import { ITEM_BYTES } from '../workers/plan.js';

/** Even: pairs are whole. */
const MOST = 4096;
const DIGEST_BYTES = 32;
/** Zeros are detected in pieces of this many bytes. */
const ZEROS = new Uint8Array(4096);

type Digest = Uint8Array | undefined;

const NO_DIGEST = new Uint8Array(DIGEST_BYTES);

/** A range of the disk, in bytes. */
interface DigestedRange {
  readonly guestOffset: number;
  readonly length: number;
}

export class ContentDigest {
  /** Each of 2 ** `#level` stretches. */
  #digests: Digest[] = [];
  #level = 0;
  /** By level: the first half of an incomplete pair. */
  readonly #waiting = new Map<number, Digest>();
  #stretches = 0;

  /**
   * Adds a stretch; the ones between the last and this are zeros.
   * @param guestOffset bytes, a multiple of ITEM_BYTES, after the previous stretch
   * @param bytes from there, at most ITEM_BYTES; the rest of the range is zeros
   */
  add(guestOffset: number, bytes: Uint8Array): void {
    this.#skipTo(guestOffset / ITEM_BYTES);
    this.#addOne(digestOf(bytes));
  }

  /** Ends the content; the rest are zeros. @param end of the disk, in bytes; equal for all compared digests */
  end(end: number): void {
    this.#skipTo(Math.ceil(end / ITEM_BYTES));
    while (this.#waiting.size > 0) this.#addOne(undefined);
  }

  /**
   * @param other ended at the same size
   * @returns the first range with different content; undefined: all are equal
   */
  firstDifference(other: ContentDigest): DigestedRange | undefined {
    const index = this.#digests.findIndex((digest, at) => !isSame(digest, other.#digests[at]));
    if (index < 0) return undefined;
    const length = ITEM_BYTES * 2 ** this.#level;
    return { guestOffset: index * length, length };
  }

  #skipTo(stretch: number): void {
    while (this.#stretches < stretch) this.#addOne(undefined);
  }

  #addOne(digest: Digest): void {
    this.#stretches += 1;
    let joined = digest;
    for (let level = 0; level < this.#level; level += 1) {
      if (!this.#waiting.has(level)) {
        this.#waiting.set(level, joined);
        return;
      }
      joined = joinOf(this.#waiting.get(level), joined);
      this.#waiting.delete(level);
    }
    this.#digests.push(joined);
    if (this.#digests.length === MOST) this.#halve();
  }

  #halve(): void {
    const joined: Digest[] = [];
    for (let at = 0; at < MOST; at += 2) joined.push(joinOf(this.#digests[at], this.#digests[at + 1]));
    this.#digests = joined;
    this.#level += 1;
  }
}

function digestOf(bytes: Uint8Array): Digest {
  const length = withoutTrailingZeros(bytes);
  return length === 0 ? undefined : crypto().createHash('sha256').update(bytes.subarray(0, length)).digest();
}

function joinOf(one: Digest, other: Digest): Digest {
  if (one === undefined && other === undefined) return undefined;
  return crypto()
    .createHash('sha256')
    .update(one ?? NO_DIGEST)
    .update(other ?? NO_DIGEST)
    .digest();
}

function isSame(one: Digest, other: Digest): boolean {
  return Buffer.compare(one ?? NO_DIGEST, other ?? NO_DIGEST) === 0;
}

/** @returns the length up to the last byte that is not zero */
function withoutTrailingZeros(bytes: Uint8Array): number {
  let end = bytes.length;
  for (let from: number; end > 0; end = from) {
    from = Math.max(0, end - ZEROS.length);
    if (Buffer.compare(bytes.subarray(from, end), ZEROS.subarray(0, end - from)) !== 0) break;
  }
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  return end;
}
