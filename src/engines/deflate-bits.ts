/** Reads the bits of a deflate stream in order: RFC 1951, section 3.1.1. */

/** Bytes after the stream that may be read before its end is noticed. */
const PADDING = 16;

/** Thrown if a stream is truncated or invalid. */
export class DeflateStop extends Error {
  /** The violation of the format, as a clause; undefined: the stream is truncated. */
  readonly flaw: string | undefined;

  constructor(flaw?: string) {
    super(flaw);
    this.flaw = flaw;
  }
}

export class DeflateBits {
  /** The stream, followed by some zeros. */
  view = new DataView(new ArrayBuffer(PADDING));
  /** Length of the stream in bits. */
  end = 0;
  /** Position of the next bit. */
  at = 0;
  #bytes = new Uint8Array(this.view.buffer);

  /** Copies a stream and begins at its start. */
  load(stream: Uint8Array): void {
    const needed = stream.length + PADDING;
    if (this.#bytes.length < needed) {
      this.#bytes = new Uint8Array(needed);
      this.view = new DataView(this.#bytes.buffer);
    }
    this.#bytes.set(stream);
    this.#bytes.fill(0, stream.length, needed);
    this.end = stream.length * 8;
    this.at = 0;
  }

  /** The next 25 bits or more, the first one lowest; zeros after the end. */
  peek(): number {
    return this.view.getInt32(this.at >>> 3, true) >>> (this.at & 7);
  }

  /** @throws DeflateStop when fewer than `count` bits are left */
  need(count: number): void {
    if (this.at + count > this.end) throw new DeflateStop();
  }

  /** The next `count` bits, at most 25. @throws DeflateStop when there are fewer */
  take(count: number): number {
    this.need(count);
    const value = this.peek() & ((1 << count) - 1);
    this.at += count;
    return value;
  }

  alignToByte(): void {
    this.at = Math.ceil(this.at / 8) * 8;
  }

  /** @returns whole bytes from the next bit on, at most `count`, as a view; advances past them */
  takeBytes(count: number): Uint8Array {
    const from = this.at / 8;
    const bytes = this.#bytes.subarray(from, Math.min(from + count, this.end / 8));
    this.at += bytes.length * 8;
    return bytes;
  }
}
