/**
 * Whether an image looks as if its clusters had been preallocated: clearly more of them are in use than its file
 * has blocks for. Then holes of the file tell which clusters hold nothing. Used by commands that show what QEMU's
 * block status says; the rule is QEMU's (qcow2_detect_metadata_preallocation in block/qcow2-refcount.c).
 */
import type { Storage } from '../storage/storage.js';
import { readU64 } from './be64.js';
import { TABLE_ENTRY_BYTES } from './geometry.js';
import type { Header } from './header.js';

/** Bits 9 to 63 of a refcount table's entry; the others are reserved. */
const OFFSET_MASK = ~0x1ffn;
/** Bytes of the table, and of a block, in memory at once; no less than the smallest cluster. */
const WINDOW_BYTES = 65536;

/**
 * @param file the image
 * @param found of the file: its length, and what it takes up on its disk; in bytes
 * @returns false too when the refcounts cannot be read, as in QEMU
 * @throws Qcow2cError ERR_IO
 */
export async function looksPreallocated(
  file: Pick<Storage, 'read'>,
  header: Pick<Header, 'clusterBits' | 'refcountOrder' | 'refcountTableOffset' | 'refcountTableClusters'>,
  found: { readonly length: number; readonly allocated: number },
): Promise<boolean> {
  const clusterSize = 2 ** header.clusterBits;
  const real = Math.floor(found.allocated / clusterSize);
  const threshold = Math.max(Math.floor((real * 10) / 9), real + 2);
  const clusters = Math.ceil(found.length / clusterSize);
  // Not even if every cluster of the file were in use.
  if (clusters < threshold) return false;
  const perBlock = (clusterSize * 8) / 2 ** header.refcountOrder;
  const entries = Math.min(
    Math.ceil(clusters / perBlock),
    (header.refcountTableClusters * clusterSize) / TABLE_ENTRY_BYTES,
  );
  const table = new Uint8Array(Math.min(WINDOW_BYTES, entries * TABLE_ENTRY_BYTES));
  const block = new Uint8Array(Math.min(WINDOW_BYTES, clusterSize));
  let inUse = 0;
  for (let entry = 0; entry < entries; entry += 1) {
    const at = (entry * TABLE_ENTRY_BYTES) % table.length;
    if (at === 0)
      table.fill(0, await file.read(header.refcountTableOffset + entry * TABLE_ENTRY_BYTES, table));
    const offset = Number(readU64(table, at) & OFFSET_MASK);
    if (offset === 0) continue;
    if (offset % clusterSize !== 0 || !Number.isSafeInteger(offset)) return false;
    const counted = Math.min(perBlock, clusters - entry * perBlock);
    const bytes = Math.ceil((counted * 2 ** header.refcountOrder) / 8);
    for (let done = 0; done < bytes; done += block.length) {
      const part = block.subarray(0, Math.min(block.length, bytes - done));
      part.fill(0, await file.read(offset + done, part));
      inUse += nonZero(part, header.refcountOrder, counted - (done * 8) / 2 ** header.refcountOrder);
      if (inUse >= threshold) return true;
    }
  }
  return false;
}

/** @param order log2 of the bits of a refcount @returns how many of the first `count` refcounts are not 0 */
function nonZero(bytes: Uint8Array, order: number, count: number): number {
  let found = 0;
  if (order >= 3) {
    const width = 2 ** (order - 3);
    for (let at = 0; at < bytes.length; at += width) {
      for (let byte = at; byte < at + width; byte += 1) {
        if (bytes[byte] === 0) continue;
        found += 1;
        break;
      }
    }
    return found;
  }
  const width = 2 ** order;
  const last = Math.min(count, (bytes.length * 8) / width);
  for (let index = 0; index < last; index += 1) {
    const bit = index * width;
    const value = (bytes[Math.floor(bit / 8)] ?? 0) >> (bit % 8);
    if (value % 2 ** width !== 0) found += 1;
  }
  return found;
}
