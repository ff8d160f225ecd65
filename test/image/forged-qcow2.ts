/** A qcow2 image with 4 KiB clusters, a forged header and no guest clusters. */

export interface Forged {
  readonly version?: 2 | 3;
  readonly backing?: string;
  readonly backingFormat?: string;
  readonly dataFile?: string;
  /** The feature's bit; default: set if there is a name. */
  readonly hasDataFile?: boolean;
  readonly cryptMethod?: 0 | 1 | 2;
  /** Bytes of the disk, at most 1 GiB. */
  readonly size?: number;
}

const CLUSTER = 4096;
const V3_BYTES = 104;
const BACKING_FORMAT = 0xe2792aca;
const DATA_FILE = 0x44415441;

export function forgedQcow2(forged: Forged): Buffer {
  const { version = 3, backing, backingFormat, dataFile, cryptMethod = 0, size = 2 ** 20 } = forged;
  const bytes = Buffer.alloc(4 * CLUSTER);
  bytes.writeUInt32BE(0x514649fb, 0);
  bytes.writeUInt32BE(version, 4);
  bytes.writeUInt32BE(12, 20);
  bytes.writeBigUInt64BE(BigInt(size), 24);
  bytes.writeUInt32BE(cryptMethod, 32);
  bytes.writeUInt32BE(Math.ceil(size / (CLUSTER * (CLUSTER / 8))), 36);
  bytes.writeBigUInt64BE(BigInt(3 * CLUSTER), 40);
  bytes.writeBigUInt64BE(BigInt(CLUSTER), 48);
  bytes.writeUInt32BE(1, 56);
  if (version === 3) {
    bytes.writeBigUInt64BE((forged.hasDataFile ?? dataFile !== undefined) ? 4n : 0n, 72);
    bytes.writeUInt32BE(4, 96);
    bytes.writeUInt32BE(V3_BYTES, 100);
  }
  let at = version === 3 ? V3_BYTES : 72;
  const extension = (type: number, text: string) => {
    const data = Buffer.from(text);
    bytes.writeUInt32BE(type, at);
    bytes.writeUInt32BE(data.length, at + 4);
    data.copy(bytes, at + 8);
    at += 8 + Math.ceil(data.length / 8) * 8;
  };
  if (backingFormat !== undefined) extension(BACKING_FORMAT, backingFormat);
  if (dataFile !== undefined) extension(DATA_FILE, dataFile);
  at += 8;
  if (backing !== undefined) {
    bytes.writeBigUInt64BE(BigInt(at), 8);
    bytes.writeUInt32BE(bytes.write(backing, at), 16);
  }
  return bytes;
}
