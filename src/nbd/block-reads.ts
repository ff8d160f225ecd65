/** Reads of any bytes, made of whole blocks: a server may refuse requests for less than its smallest block. */
import { roundDown, roundUp } from '../arithmetic.js';
import type { ExportFacts } from './export-facts.js';

/** A read of any bytes as a read of whole blocks. */
interface BlockRead {
  /** Where the blocks begin, in bytes of the export. */
  readonly from: number;
  /** Receives the blocks. It is the caller's memory if only whole blocks are read. */
  readonly blocks: Uint8Array;
  /** Gives the caller the bytes of the blocks. @returns how many */
  finish(): number;
}

/**
 * @param offset bytes in the export
 * @param into receives the bytes, up to the end of the export
 * @returns undefined if no byte of the export is there
 */
export function blockRead(
  { size, minimumBlock }: Pick<ExportFacts, 'size' | 'minimumBlock'>,
  offset: number,
  into: Uint8Array,
): BlockRead | undefined {
  const found = Math.min(into.length, size - offset);
  if (found <= 0) return undefined;
  const from = roundDown(offset, minimumBlock);
  const to = Math.min(roundUp(offset + found, minimumBlock), size);
  if (to - from === found) return { from, blocks: into.subarray(0, found), finish: () => found };
  const blocks = new Uint8Array(to - from);
  return {
    from,
    blocks,
    finish: () => {
      into.set(blocks.subarray(offset - from, offset - from + found));
      return found;
    },
  };
}

/**
 * Reads whole blocks in requests that the server takes, one after the other.
 * @param request reads a piece at an offset
 */
export async function readInRequests(
  { maximumRequest }: Pick<ExportFacts, 'maximumRequest'>,
  offset: number,
  into: Uint8Array,
  request: (piece: Uint8Array, at: number) => Promise<void>,
): Promise<void> {
  for (let done = 0; done < into.length; done += maximumRequest) {
    await request(into.subarray(done, done + maximumRequest), offset + done);
  }
}
