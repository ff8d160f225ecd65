/** The SHA-256 of the file that a conversion makes: while it is written in order, or read once more. */
import { type OpenNamedSettings, openNamed } from '../image/open-named.js';
import { placeOf } from '../image/referenced-files.js';
import { alignedMemory } from '../system/aligned-memory.js';
import { crypto } from '../system/late-modules.js';
import { yieldToEventLoop } from '../system/yield-to-event-loop.js';
import { refuseAbort } from '../workers/pipeline.js';
import { ITEM_BYTES } from '../workers/plan.js';

const ZEROS = new Uint8Array(65536);

/** Takes the bytes of a file from its start to its end. What is left out is zeros. */
export class FileDigest {
  readonly #hash = crypto().createHash('sha256');
  readonly #signal: AbortSignal | undefined;
  /** Where the added bytes end. */
  #end = 0;

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  /** @param offset in the file, after the previous bytes @throws Qcow2cError ERR_ABORTED */
  async add(offset: number, bytes: Uint8Array): Promise<void> {
    await this.#addZeros(offset);
    this.#hash.update(bytes);
    this.#end = offset + bytes.length;
  }

  /**
   * @param length of the file, in bytes
   * @returns the digest in hexadecimal
   * @throws Qcow2cError ERR_ABORTED
   */
  async end(length: number): Promise<string> {
    await this.#addZeros(length);
    return this.#hash.digest('hex');
  }

  async #addZeros(end: number): Promise<void> {
    while (this.#end < end) {
      await yieldToEventLoop(this.#signal);
      const part = Math.min(ZEROS.length, end - this.#end);
      this.#hash.update(ZEROS.subarray(0, part));
      this.#end += part;
    }
  }
}

interface FileDigestSettings {
  /** Bytes; undefined: up to the end of the file. */
  readonly length: number | undefined;
  /** Called with the bytes that were read so far. */
  readonly onRead: ((bytes: number) => void) | undefined;
  readonly signal: AbortSignal | undefined;
}

/**
 * Reads a finished file or export.
 * @param direct whether its file system takes O_DIRECT, which keeps the file out of the page cache
 * @returns the digest in hexadecimal
 * @throws Qcow2cError ERR_IO, ERR_ABORTED
 */
export async function digestOfFile(
  name: string,
  { length, onRead, signal, ...settings }: OpenNamedSettings & FileDigestSettings,
): Promise<string> {
  const file = await openNamed(placeOf(name), settings);
  let next: Promise<Uint8Array> | undefined;
  try {
    const hash = crypto().createHash('sha256');
    const memories = [0, 1].map(() => alignedMemory(ITEM_BYTES).subarray(0, ITEM_BYTES)) as [
      Uint8Array,
      Uint8Array,
    ];
    const end = length ?? Number.MAX_SAFE_INTEGER;
    const readAt = async (at: number, into: Uint8Array) => {
      const bytes = into.subarray(0, Math.min(into.length, end - at));
      return bytes.subarray(0, await file.read(at, bytes));
    };
    next = readAt(0, memories[0]);
    for (let at = 0, turn = 1; ; turn = 1 - turn) {
      refuseAbort(signal);
      const bytes = await next;
      if (bytes.length === 0) return hash.digest('hex');
      at += bytes.length;
      // The disk works while this thread hashes.
      next = readAt(at, memories[turn] as Uint8Array);
      next.catch(() => {});
      hash.update(bytes);
      onRead?.(at);
    }
  } finally {
    await next?.catch(() => {});
    await file.close();
  }
}
