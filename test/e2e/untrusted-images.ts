/**
 * Images with forged headers: the worst values that the format and its bounds allow, in small files. All unwritten
 * parts are holes.
 */
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';

/** Fields of the header that differ from those of an empty image. Sizes and offsets in bytes. */
export interface Forgery {
  /** Default: 16. */
  readonly clusterBits?: number;
  /** Default: as much as the L1 table reaches, below 2^53. */
  readonly virtualSize?: number;
  /** Default: one entry, in the fourth cluster. */
  readonly l1?: { readonly offset: number; readonly entries: number };
  readonly refcountTable?: { readonly offset: number; readonly clusters: number };
  readonly refcountOrder?: number;
  readonly snapshots?: { readonly offset: number; readonly count: number };
  readonly incompatible?: bigint;
  readonly autoclear?: bigint;
  readonly cryptMethod?: number;
  readonly extensions?: readonly { readonly type: number; readonly data: Uint8Array }[];
  readonly backing?: Uint8Array;
  /** What else is in the file. */
  readonly pieces?: readonly { readonly at: number; readonly bytes: Uint8Array }[];
  /** Of the file; default: as far as it is written, and at least six clusters. */
  readonly fileSize?: number;
}

const HEADER_BYTES = 112;

/** Writes the image to `path`. */
export function writeForgery(path: string, forgery: Forgery): void {
  const { clusterBits = 16, refcountOrder = 4, incompatible = 0n, autoclear = 0n, pieces = [] } = forgery;
  const clusterSize = 2 ** clusterBits;
  const { l1 = { offset: 3 * clusterSize, entries: 1 } } = forgery;
  const { refcountTable = { offset: clusterSize, clusters: 1 }, snapshots = { offset: 0, count: 0 } } =
    forgery;
  const entryBytes = (incompatible & 16n) === 0n ? 8 : 16;
  const reach = l1.entries * clusterSize * (clusterSize / entryBytes);
  const { virtualSize = Math.min(reach, 2 ** 53 - 512) } = forgery;
  const header = Buffer.alloc(clusterSize);
  header.writeUInt32BE(0x514649fb, 0);
  header.writeUInt32BE(3, 4);
  header.writeUInt32BE(clusterBits, 20);
  header.writeBigUInt64BE(BigInt(virtualSize), 24);
  header.writeUInt32BE(forgery.cryptMethod ?? 0, 32);
  header.writeUInt32BE(l1.entries, 36);
  header.writeBigUInt64BE(BigInt(l1.offset), 40);
  header.writeBigUInt64BE(BigInt(refcountTable.offset), 48);
  header.writeUInt32BE(refcountTable.clusters, 56);
  header.writeUInt32BE(snapshots.count, 60);
  header.writeBigUInt64BE(BigInt(snapshots.offset), 64);
  header.writeBigUInt64BE(incompatible, 72);
  header.writeBigUInt64BE(autoclear, 88);
  header.writeUInt32BE(refcountOrder, 96);
  header.writeUInt32BE(HEADER_BYTES, 100);
  if ((incompatible & 8n) !== 0n) header[104] = 1;
  let at = HEADER_BYTES;
  for (const { type, data } of forgery.extensions ?? []) {
    header.writeUInt32BE(type, at);
    header.writeUInt32BE(data.length, at + 4);
    header.set(data, at + 8);
    at += 8 + Math.ceil(data.length / 8) * 8;
  }
  if (forgery.backing !== undefined) {
    header.writeBigUInt64BE(BigInt(at + 8), 8);
    header.writeUInt32BE(forgery.backing.length, 16);
    header.set(forgery.backing, at + 8);
  }
  const file = openSync(path, 'w');
  writeSync(file, header, 0, header.length, 0);
  let end = 6 * clusterSize;
  for (const { at: place, bytes } of pieces) {
    writeSync(file, bytes, 0, bytes.length, place);
    end = Math.max(end, place + bytes.length);
  }
  ftruncateSync(file, forgery.fileSize ?? end);
  closeSync(file);
}

/** A table of `count` entries, one after the other. */
export function tableOf(count: number, entry: (index: number) => bigint): Buffer {
  const bytes = Buffer.alloc(count * 8);
  for (let index = 0; index < count; index += 1) bytes.writeBigUInt64BE(entry(index), index * 8);
  return bytes;
}

/** An entry of the snapshot table, with all that version 3 wants. */
export function snapshotEntry({
  l1,
  id = '1',
  name = '',
}: {
  readonly l1: { readonly offset: number; readonly entries: number };
  readonly id?: string | Uint8Array;
  readonly name?: string | Uint8Array;
}): Buffer {
  const [idBytes, nameBytes] = [Buffer.from(id as string), Buffer.from(name as string)];
  const bytes = Buffer.alloc(Math.ceil((56 + idBytes.length + nameBytes.length) / 8) * 8);
  bytes.writeBigUInt64BE(BigInt(l1.offset), 0);
  bytes.writeUInt32BE(l1.entries, 8);
  bytes.writeUInt16BE(idBytes.length, 12);
  bytes.writeUInt16BE(nameBytes.length, 14);
  bytes.writeUInt32BE(16, 36);
  bytes.set(idBytes, 56);
  bytes.set(nameBytes, 56 + idBytes.length);
  return bytes;
}

/** An entry of the bitmap directory. @param flags 1: in use, so that its size need not be the disk's */
export function bitmapEntry(
  table: { readonly offset: number; readonly entries: number },
  name: string | Uint8Array,
  flags = 1,
): Buffer {
  const nameBytes = Buffer.from(name as string);
  const bytes = Buffer.alloc(Math.ceil((24 + nameBytes.length) / 8) * 8);
  bytes.writeBigUInt64BE(BigInt(table.offset), 0);
  bytes.writeUInt32BE(table.entries, 8);
  bytes.writeUInt32BE(flags, 12);
  bytes[16] = 1;
  bytes[17] = 16;
  bytes.writeUInt16BE(nameBytes.length, 18);
  bytes.set(nameBytes, 24);
  return bytes;
}

/** The bitmaps extension; goes with autoclear bit 0. */
export function bitmapsExtension(count: number, offset: number, bytes: number) {
  const data = Buffer.alloc(24);
  data.writeUInt32BE(count, 0);
  data.writeBigUInt64BE(BigInt(bytes), 8);
  data.writeBigUInt64BE(BigInt(offset), 16);
  return { type: 0x23852875, data };
}

export const COPIED = 1n << 63n;
