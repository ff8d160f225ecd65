/**
 * The promises of the cluster map, the look-ups beside it and the walk through the tables, for one state of an image.
 * All are compared with a model that decodes one entry at a time (test/qcow2/cluster-map-model.ts).
 */
import type { LayerRange } from '../../../src/image/source.js';
import type { ClusterLookup, FoundClusters } from '../../../src/qcow2/cluster-lookup.js';
import { INCOMPATIBLE_EXTENDED_L2 } from '../../../src/qcow2/features.js';
import type { Header } from '../../../src/qcow2/header.js';
import { type L2Format, l2Run } from '../../../src/qcow2/l2-run.js';
import { type DiskState, Qcow2Layer } from '../../../src/qcow2/qcow2-layer.js';
import { walkTables } from '../../../src/qcow2/table-walk.js';
import { sectorAt, sectorsOf } from '../../qcow2/cluster-map-model.js';
import type { MemoryImage } from './memory-image.js';
import { promise, promiseSame } from './promises.js';

const SECTOR = 512;
/** Of one state; only some questions are asked past them. */
const MOST_RANGES = 40;
const MOST_ENTRIES = 300;
/** L1 entries that are gone through one by one. */
const MOST_L1_ENTRIES = 4096;
/** A question reads a piece of 64 KiB of each level, and all pieces of an L1 table that is empty. */
const PIECE_BYTES = 65536;

/** @param dataFile where guest clusters are, if not in `file` */
export async function promiseMap(
  header: Header,
  file: MemoryImage,
  dataFile: MemoryImage | undefined,
  state: DiskState = header,
): Promise<void> {
  const layer = new Qcow2Layer(header, file, dataFile, state);
  const extendedL2 = (header.incompatibleFeatures & INCOMPATIBLE_EXTENDED_L2) !== 0n;
  const format = { ...header, extendedL2, external: dataFile !== undefined };
  const clusterSize = 2 ** header.clusterBits;
  const image = { ...format, ...state, virtualSize: layer.size };
  const each = layer.lookup({ pastEnd: 'refused', compressed: 'each' });
  const together = layer.lookup({ pastEnd: 'refused', compressed: 'together' });
  const limit = Math.ceil((state.l1Entries * 8) / PIECE_BYTES) + 2;
  const ask = <T>(question: () => Promise<T>) => {
    file.allow(limit, limit * PIECE_BYTES);
    return question();
  };

  const promiseRange = async (guest: number): Promise<number> => {
    const range = await ask(() => layer.map(guest));
    const { length } = range;
    const where = `at ${guest}`;
    promise(
      Number.isSafeInteger(length) && length > 0 && guest + length <= layer.size,
      'a range ends inside the disk',
      where,
      length,
    );
    promiseRangeItself(range, file, dataFile, clusterSize, where);
    // Its first and last sector, and the answer there.
    for (const skipped of [0, length - SECTOR]) {
      const at = guest + skipped - (skipped % SECTOR);
      if (at < guest) continue;
      const expected = sectorAt(image, file, dataFile, at);
      promiseSame(sectorOf(range, at - guest), expected, `the map equals the tables at ${at}`);
      if (at === guest) continue;
      promiseSame(
        sectorOf(await ask(() => layer.map(at)), 0),
        expected,
        `the map has the same answer there, ${at}`,
      );
    }
    const found = await ask(() => each.find(guest));
    promiseLookup(found, range, guest, clusterSize);
    const last = found.length - (found.length % SECTOR || SECTOR);
    const atLast = await ask(() => each.find(guest + last));
    promise(
      atLast.kind === found.kind,
      'the look-up has the same answer at the last sector',
      where,
      last,
      atLast,
    );
    if (found.kind === 'normal' && atLast.kind === 'normal')
      promiseSame(atLast.host, found.host + last, `the place of the last sector ${where}`);
    const longer = await ask(() => together.find(guest));
    promise(
      longer.kind === found.kind && longer.length >= found.length,
      'taken together there is not less',
      where,
    );
    return length;
  };

  let guest = 0;
  for (let ranges = 0; ranges < MOST_RANGES && guest < layer.size; ranges += 1)
    guest += await promiseRange(guest);
  const reach = clusterSize * (clusterSize / (extendedL2 ? 16 : 8));
  for (const at of [reach - SECTOR, reach, layer.size - SECTOR, layer.size / 2]) {
    const inside = at - (at % SECTOR);
    if (inside >= 0 && inside < layer.size) await promiseRange(inside);
  }
  await promiseWalk(file, format, layer.size, each, state, ask);
}

function promiseRangeItself(
  range: LayerRange,
  file: MemoryImage,
  dataFile: MemoryImage | undefined,
  clusterSize: number,
  where: string,
): void {
  const { length } = range;
  if (range.kind === 'data') {
    const from = dataFile ?? file;
    promiseSame(range.descriptor, from.descriptor, `data are in the right file ${where}`);
    promise(
      range.offset >= 0 && range.offset + length <= from.size,
      'data are inside the file',
      where,
      range,
    );
  } else if (range.kind === 'compressed') {
    const { places } = range.payloads;
    promise(dataFile === undefined, 'nothing is compressed beside a data file', where);
    for (const [index, number] of places.entries()) {
      if (index % 2 === 0) {
        promise(Number.isSafeInteger(number) && number >= 0, 'a payload is at an offset', where, number);
      } else {
        promise(number > 0 && number <= 2 * clusterSize + SECTOR, 'a payload is bounded', where, number);
      }
    }
    promise(range.skip >= 0 && range.skip < clusterSize, 'the first cluster is used', where, range);
    const inflated = (places.length / 2) * clusterSize;
    promise(range.skip + length <= inflated, 'the payloads cover the range', where, range);
  } else if (range.kind === 'unreadable') {
    promiseSame(range.error.code, 'ERR_CORRUPT', `an unreadable range is corrupt ${where}`);
  }
}

/** The content of the tables, and the map of it for this file. */
function promiseLookup(found: FoundClusters, range: LayerRange, guest: number, clusterSize: number): void {
  const where = `the look-up agrees with the map at ${guest}`;
  if (found.kind === 'normal') {
    promise(['data', 'zero', 'unreadable'].includes(range.kind), where, range);
    if (range.kind === 'data') promiseSame(range.offset, found.host, where);
    return;
  }
  promiseSame(found.kind, range.kind, where);
  if (found.kind === 'compressed' && range.kind === 'compressed') {
    const { places } = range.payloads;
    promiseSame([...found.places, found.skip], [...places.slice(0, found.places.length), range.skip], where);
    promise(found.length <= clusterSize, where, found.length);
  }
}

/** The walk passes in guest order through the entries that a question finds. */
async function promiseWalk(
  file: MemoryImage,
  format: L2Format,
  size: number,
  lookup: ClusterLookup,
  { l1Offset, l1Entries }: DiskState,
  ask: <T>(question: () => Promise<T>) => Promise<T>,
): Promise<void> {
  const state = { l1Offset, l1Entries: Math.min(l1Entries, MOST_L1_ENTRIES) };
  const clusterSize = 2 ** format.clusterBits;
  const entryBytes = format.extendedL2 ? 16 : 8;
  let left = MOST_ENTRIES;
  let passed = 0;
  const find = (guest: number) => ask(() => lookup.find(guest));
  const goOn = () => file.allow(Number.POSITIVE_INFINITY, 2 ** 30);
  goOn();
  for await (const piece of walkTables(file, format, [state])) {
    const { guest } = piece;
    if (guest >= size || left <= 0) return;
    if (guest > passed)
      promiseSame((await find(passed)).kind, 'unallocated', `nothing is left out at ${passed}`);
    if (piece.kind === 'lost') {
      const { length } = piece;
      promise(length > 0 && length % clusterSize === 0, 'clusters are lost as a whole', length);
      promiseSame(
        (await find(guest)).kind,
        'unreadable',
        `a range that the walk has lost cannot be read at ${guest}`,
      );
      passed = Math.max(passed, guest + length);
    } else {
      promise(guest >= passed, 'the walk goes in guest order', guest, passed);
      passed = guest + piece.count * clusterSize;
      const [table] = piece.tables;
      promise(table !== undefined && piece.tables.length === 1, 'one state has one table');
      for (let index = 0; index < piece.count && left > 0; index += 1) {
        const at = guest + index * clusterSize;
        // Lost ranges are zeros too, and need few checks.
        if (at >= size || table.view.getBigUint64(index * entryBytes) === 0n) continue;
        left -= 1;
        const run = l2Run(format, table.view, index * entryBytes, 0, at);
        const found = await find(at);
        const kind = run.kind === 'broken' ? 'unreadable' : run.kind;
        promiseSame(found.kind, kind, `walk and look-up agree at ${at}`);
        if (run.kind !== 'normal' || found.kind !== 'normal') continue;
        promiseSame(found.host, run.host, `the host cluster of ${at}`);
      }
    }
    goOn();
  }
  if (passed >= size || state.l1Entries < l1Entries) return;
  promiseSame((await find(passed)).kind, 'unallocated', `nothing is left out after ${passed}`);
}

/** A sector of a range; @param skipped bytes of the range before it */
function sectorOf(range: LayerRange, skipped: number) {
  const length = Math.min(SECTOR, range.length - skipped);
  switch (range.kind) {
    case 'data':
      return sectorsOf({ ...range, offset: range.offset + skipped, length })[0];
    case 'compressed':
      return sectorsOf({ ...range, skip: range.skip + skipped, length })[0];
    default:
      return sectorsOf({ ...range, length })[0];
  }
}
