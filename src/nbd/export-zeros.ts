/** Makes ranges of an export zeros: without sending them if the server can, otherwise by writing them. */
import { STATE_ZERO } from './block-status.js';
import type { ExportRequests } from './export-requests.js';
import { isKindRefused } from './nbd-failure.js';

/** Bytes of one fast request for zeros, or of one trim: both carry no data. */
const QUICK_BYTES = 2 ** 30;
/** Bytes of one write of zeros. */
const ZERO_BYTES = 2 ** 21;

export class ExportZeros {
  readonly #requests: ExportRequests;
  readonly #write: (offset: number, zeros: Uint8Array) => Promise<void>;
  /** A kind of request that was refused once is not made again: writing zeros is right for every range. */
  #isFastRefused = false;
  #isRefused = false;
  #isTrimRefused = false;
  #zeros: Uint8Array | undefined;

  /** @param write takes any range, as a write of the target */
  constructor(requests: ExportRequests, write: (offset: number, zeros: Uint8Array) => Promise<void>) {
    this.#requests = requests;
    this.#write = write;
  }

  /** Makes whole blocks zeros. */
  async makeBlocks(from: number, to: number): Promise<void> {
    const { canZero, canTrim } = this.#requests.writeFacts;
    if (canZero && !this.#isRefused) await this.#request(from, to);
    else await this.#unlessZeros(from, to, canTrim && !this.#isTrimRefused);
  }

  /** Writes zeros. */
  async write(from: number, to: number): Promise<void> {
    for (let at = from; at < to; at += ZERO_BYTES) {
      this.#zeros ??= new Uint8Array(ZERO_BYTES);
      await this.#write(at, this.#zeros.subarray(0, Math.min(ZERO_BYTES, to - at)));
    }
  }

  /**
   * By requests that carry no data: large ones while the server does not refuse them as slow. A server may offer them and
   * not have them.
   */
  async #request(from: number, to: number): Promise<void> {
    const { canZeroFast } = this.#requests.writeFacts;
    const { maximumRequest } = this.#requests.facts;
    for (let at = from; at < to; ) {
      const isFast = canZeroFast && !this.#isFastRefused;
      const length = Math.min(to - at, isFast ? QUICK_BYTES : maximumRequest);
      try {
        await this.#requests.zero(at, length, isFast);
        at += length;
      } catch (error) {
        if (!isKindRefused((error as Error).cause)) throw error;
        if (isFast) {
          this.#isFastRefused = true;
        } else {
          this.#isRefused = true;
          await this.makeBlocks(at, to);
          at = to;
        }
      }
    }
    await this.#requests.flushUnforced();
  }

  /**
   * For a server without a request for zeros. A trim promises nothing about the content, so the block status must say that
   * it is zeros.
   */
  async #unlessZeros(from: number, to: number, mayTrim: boolean): Promise<void> {
    if (!this.#requests.hasStatus) return this.write(from, to);
    const statusAt = this.#requests.status(to);
    for (let at = from; at < to; ) {
      const { length, flags } = await statusAt(at);
      const end = Math.min(at + (mayTrim ? Math.min(length, QUICK_BYTES) : length), to);
      if ((flags & STATE_ZERO) === 0) {
        if (mayTrim && !this.#isTrimRefused) {
          await this.#requests.trim(at, end - at).catch((error) => {
            if (!isKindRefused(error.cause)) throw error;
            this.#isTrimRefused = true;
          });
          await this.#unlessZeros(at, end, false);
        } else {
          await this.write(at, end);
        }
      }
      at = end;
    }
  }
}
