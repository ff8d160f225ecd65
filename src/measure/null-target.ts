/**
 * A target without a file: every write is checked, counted and discarded. Writers use it like a file, so its final
 * length equals a file's.
 */
import { roundUp } from '../arithmetic.js';
import { internalError } from '../errors.js';
import { SECTOR_SIZE } from '../sector.js';
import type { Target, TargetFile } from '../storage/target.js';

class NullTarget implements TargetFile {
  readonly name = 'the measured image';
  readonly alignment = 1;
  readonly cacheMode = 'unsafe';
  readonly directRefused = undefined;
  writeCalls = 0;
  writtenBytes = 0;
  /** End of the farthest write, in bytes. */
  #end = 0;

  async write(offset: number, buffers: readonly Uint8Array[]): Promise<void> {
    const length = buffers.reduce((sum, { length }) => sum + length, 0);
    if (!Number.isSafeInteger(offset + length) || offset < 0) {
      throw internalError(`a write of ${length} bytes at offset ${offset}`);
    }
    this.writeCalls += 1;
    this.writtenBytes += length;
    this.#end = Math.max(this.#end, offset + length);
  }

  /**
   * A file's last sector need not be written whole.
   * @throws Qcow2cError ERR_INTERNAL when the last sector of a file of `length` bytes was not written
   */
  refuseLength(length: number): void {
    if (length > roundUp(this.#end, SECTOR_SIZE))
      throw internalError(`${length} bytes with writes up to ${this.#end}`);
  }

  /** Never called: compression into a new image reads nothing back. */
  async read(offset: number): Promise<number> {
    throw internalError(`a read of discarded data at offset ${offset}`);
  }

  async punch(): Promise<boolean> {
    return false;
  }

  limitRate(): void {}
  async allocate(): Promise<void> {}
  async sync(): Promise<void> {}
  async close(): Promise<void> {}
}

/** Replaces `openTarget`. */
export async function openNullTarget(): Promise<Target> {
  const file = new NullTarget();
  const seal = async (length: number) => file.refuseLength(length);
  return {
    file,
    path: '',
    kind: 'null',
    existingSize: 0,
    keepLength: () => {},
    notices: [],
    seal,
    commit: seal,
    discard: async () => {},
  };
}
