/** The snapshot table, the choice of a snapshot, and the disks that snapshots hold. */
import type { ErrorCode } from '../../../src/errors.js';
import { imageStates } from '../../../src/examine/image-states.js';
import { readQcow2ImageHeader, snapshotState } from '../../../src/image/image-header.js';
import type { Header } from '../../../src/qcow2/header.js';
import {
  type SnapshotEntry,
  snapshotEntries,
  snapshotTableReader,
} from '../../../src/qcow2/snapshot-entry.js';
import { promiseMap } from './map-promises.js';
import { MemoryImage } from './memory-image.js';
import { attempt, promise, promiseSame } from './promises.js';
import { dataFileOf } from './tables-target.js';

const REFUSED: readonly ErrorCode[] = ['ERR_FORMAT', 'ERR_CORRUPT', 'ERR_UNSUPPORTED'];
const FIXED_BYTES = 40;
const MOST_TABLE_BYTES = 64 * 1024 * 1024;
const WINDOW_BYTES = 65536;
/** Tables with more are none to go through a thousand times a second. */
const MOST_SNAPSHOTS = 300;
/** Of one image, whose disks are looked at. */
const MOST_DISKS = 2;

export async function fuzz(input: Uint8Array): Promise<void> {
  const file = MemoryImage.folded(input);
  const { value: start } = await attempt(REFUSED, () => readQcow2ImageHeader(file.source, 'description'));
  if (start === undefined || start.header.snapshotCount > MOST_SNAPSHOTS) return;
  const { header } = start;
  const reads = Math.ceil(file.length / WINDOW_BYTES) + header.snapshotCount * 3 + 1;
  const bounded = <T>(work: () => Promise<T>, codes = REFUSED) => {
    file.allow(reads, reads * WINDOW_BYTES);
    return attempt(codes, work);
  };
  const read = await bounded(() => all(file, header));
  const expected = expectedEntries(file, header);
  promiseSame(read.value, expected, 'the snapshot table equals its bytes');

  const states = await bounded(() => imageStates(file, header, true));
  promise(
    (states.value === undefined) === (expected === undefined),
    'states are listed where the table can be read',
  );
  promise((states.value?.length ?? 1) <= 1 + header.snapshotCount, 'a state for each snapshot at most');
  const found = expected ?? [];
  const words = [...found.slice(0, 4).flatMap(({ id, name }) => [id, name]), 'none such'];
  let disks = 0;
  for (const word of words) {
    for (const selector of [
      { idOrName: word },
      { id: word },
      { name: word },
      { id: word, name: found[0]?.name },
    ]) {
      const chosen = await bounded(() => snapshotState(start, selector), [...REFUSED, 'ERR_USAGE']);
      const entry = expectedChoice(found, selector);
      if (chosen.value === undefined) {
        const isThere = expected !== undefined && entry === undefined;
        promise(
          isThere === (chosen.error.code === 'ERR_USAGE'),
          'none is found where none is:',
          word,
          chosen.error,
        );
        continue;
      }
      promise(entry !== undefined, 'an existing snapshot is found:', word);
      const { l1Offset, l1Entries } = chosen.value;
      promiseSame(BigInt(l1Offset), entry.l1Offset, `the first snapshot called ${word}`);
      promise(l1Entries <= entry.l1Entries && l1Entries <= 2 ** 22, 'its L1 table is bounded', l1Entries);
      promise(l1Offset % 2 ** header.clusterBits === 0, 'its L1 table is aligned', l1Offset);
      if (disks === MOST_DISKS) continue;
      disks += 1;
      await promiseMap(header, file, dataFileOf(header), chosen.value);
    }
  }
}

async function all(file: MemoryImage, header: Header): Promise<SnapshotEntry[]> {
  const entries: SnapshotEntry[] = [];
  for await (const entry of snapshotEntries(snapshotTableReader(file, header), header)) entries.push(entry);
  return entries;
}

/** The table once more, from the words of the specification; undefined when it cannot be read. */
function expectedEntries(file: MemoryImage, header: Header): SnapshotEntry[] | undefined {
  const entries: SnapshotEntry[] = [];
  const end = Math.min(file.length, header.snapshotsOffset + MOST_TABLE_BYTES);
  let at: number = header.snapshotsOffset;
  for (let index = 0; index < header.snapshotCount; index += 1) {
    const offset = at;
    if (at + FIXED_BYTES > end) return undefined;
    const fixed = Buffer.alloc(FIXED_BYTES);
    file.copy(at, fixed);
    const extraLength = fixed.readUInt32BE(36);
    if (extraLength > 1024) return undefined;
    const lengths = [extraLength, fixed.readUInt16BE(12), fixed.readUInt16BE(14)];
    at += FIXED_BYTES;
    const [extra = Buffer.alloc(0), id = Buffer.alloc(0), name = Buffer.alloc(0)] = lengths.map((length) => {
      const bytes = Buffer.alloc(length);
      file.copy(at, bytes);
      at += length;
      return bytes;
    });
    if (at > end) return undefined;
    const length = at - offset;
    at += (8 - (length % 8)) % 8;
    if (at > header.snapshotsOffset + MOST_TABLE_BYTES) return undefined;
    const text = (bytes: Buffer) => bytes.toString('utf8').split('\0', 1)[0] ?? '';
    entries.push({
      offset,
      length,
      id: text(id),
      name: text(name),
      l1Offset: fixed.readBigUInt64BE(0),
      l1Entries: fixed.readUInt32BE(8),
      dateSeconds: fixed.readUInt32BE(16),
      dateNanoseconds: fixed.readUInt32BE(20),
      vmClock: fixed.readBigUInt64BE(24),
      vmStateSize: extraLength >= 8 ? extra.readBigUInt64BE(0) : BigInt(fixed.readUInt32BE(32)),
      diskSize: extraLength >= 16 ? extra.readBigUInt64BE(8) : undefined,
      icount: extraLength >= 24 && !isAllOnes(extra.subarray(16, 24)) ? extra.readBigUInt64BE(16) : undefined,
    });
  }
  return entries;
}

/** An instruction count of -1: there is none. */
function isAllOnes(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0xff);
}

function expectedChoice(
  entries: readonly SnapshotEntry[],
  selector: { idOrName?: string; id?: string | undefined; name?: string | undefined },
): SnapshotEntry | undefined {
  const { idOrName, id, name } = selector;
  if (idOrName !== undefined) {
    return entries.find((entry) => entry.id === idOrName) ?? entries.find((entry) => entry.name === idOrName);
  }
  return entries.find(
    (entry) => (id === undefined || entry.id === id) && (name === undefined || entry.name === name),
  );
}
