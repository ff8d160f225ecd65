/** Disks for the raw writer: items with runs, the target's bytes before, and its expected bytes afterwards. */
import type { RawTarget, RawWriter } from '../../src/raw/raw-writer.js';
import { alignedMemory } from '../../src/system/aligned-memory.js';
import { payload } from '../storage/recording-storage.js';

export const SECTOR = 512;

/** An item of work: its position and length on the disk, and the sectors with data. All numbers are sectors. */
export interface DiskItem {
  readonly start: number;
  readonly sectors: number;
  /** Half-open and ascending; neighbours may touch. */
  readonly runs: readonly (readonly [from: number, to: number])[];
}

/** The item's bytes as workers leave them: page aligned, with bytes of an earlier item after the end. */
function bytesOf(item: DiskItem, memory: Uint8Array): Uint8Array {
  const bytes = memory
    .fill(0xee)
    .subarray(0, item.sectors * SECTOR)
    .fill(0);
  for (const [from, to] of item.runs) {
    bytes.set(payload((to - from) * SECTOR, item.start + from), from * SECTOR);
  }
  return bytes;
}

/** Writes the items as the conversion does: it reuses the same memory as soon as an item is written. */
export async function writeDisk(writer: RawWriter, items: readonly DiskItem[]): Promise<number> {
  const memory = alignedMemory(Math.max(1, ...items.map(({ sectors }) => sectors)) * SECTOR);
  for (const item of items) {
    const runs = Uint32Array.from(item.runs.flat(), (sector) => sector * SECTOR);
    await writer.write(item.start * SECTOR, bytesOf(item, memory), runs);
  }
  memory.fill(0xdd);
  return writer.finish();
}

/**
 * @param before the target's bytes before the conversion
 * @param diskSize bytes
 * @returns the expected bytes afterwards
 */
export function expectedContent(
  before: Uint8Array,
  diskSize: number,
  items: readonly DiskItem[],
): Uint8Array {
  const content = new Uint8Array(Math.max(before.length, diskSize));
  content.set(before);
  content.fill(0, 0, diskSize);
  for (const item of items) {
    for (const [from, to] of item.runs) {
      const at = item.start + from;
      content.set(payload((to - from) * SECTOR, at), at * SECTOR);
    }
  }
  return content;
}

export function targetOver(kind: RawTarget['kind'], before: Uint8Array, isZero = false): RawTarget {
  return { kind, existingSize: before.length, isZero };
}
