import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type HostCluster, type HostOffset, hostCluster, hostOffset } from '../../src/qcow2/addresses.js';
import { readU64 } from '../../src/qcow2/be64.js';
import { ClusterAllocator, type StreamPlace } from '../../src/qcow2/cluster-allocator.js';
import { type Geometry, geometry } from '../../src/qcow2/geometry.js';
import { RecountedRefcounts, Refcounts } from '../../src/qcow2/refcounts.js';
import { tries } from '../stage.js';

const WIDTHS = [1, 2, 4, 8, 16, 32, 64];
const SECTOR = 512;

/** Space for one compressed cluster, in bytes, for a run of clusters, or for an L2 table. */
type Request =
  | { readonly kind: 'payload'; readonly bytes: number }
  | { readonly kind: 'run'; readonly clusters: number }
  | { readonly kind: 'table'; readonly further: number };

interface Case {
  readonly geometry: Geometry;
  readonly unit: number;
  readonly firstUnits: number;
  readonly requests: readonly Request[];
}

/** Few sectors a cluster and payloads of all lengths: every rule is met within a few dozen requests. */
const cases: fc.Arbitrary<Case> = fc
  .record({
    clusterBits: fc.integer({ min: 9, max: 14 }),
    refcountBits: fc.constantFrom(...WIDTHS),
    unitBits: fc.constantFrom(9, 12, 13),
    firstUnits: fc.integer({ min: 1, max: 3 }),
    longest: fc.constantFrom(1, 7, 60, 2 ** 14),
  })
  .chain(({ clusterBits, refcountBits, unitBits, firstUnits, longest }) => {
    const sizes = geometry(clusterBits, refcountBits);
    const bytes = fc.integer({ min: 1, max: Math.min(longest, sizes.clusterSize - 1) });
    const request: fc.Arbitrary<Request> = fc.oneof(
      { weight: 6, arbitrary: bytes.map((length) => ({ kind: 'payload' as const, bytes: length })) },
      {
        weight: 1,
        arbitrary: fc.integer({ min: 1, max: 20 }).map((clusters) => ({ kind: 'run' as const, clusters })),
      },
      {
        weight: 2,
        arbitrary: fc.constantFrom(0, 3, 1e6).map((further) => ({ kind: 'table' as const, further })),
      },
    );
    return fc.record({
      geometry: fc.constant(sizes),
      unit: fc.constant(Math.max(sizes.clusterSize, 2 ** unitBits)),
      firstUnits: fc.constant(firstUnits),
      requests: fc.array(request, { maxLength: 120 }),
    });
  });

/** Refcounts that record the clusters counted since the last query, and the offsets of their blocks. */
class WatchedRefcounts extends Refcounts {
  readonly #counted: number[] = [];
  readonly #model: Model;

  constructor(geometry: Geometry, model: Model) {
    super(geometry);
    this.#model = model;
  }

  override place(cluster: HostCluster, offset: HostOffset): void {
    this.#model.table(offset);
    super.place(cluster, offset);
  }

  override increment(cluster: HostCluster): void {
    this.#counted.push(cluster);
    super.increment(cluster);
  }

  takeCounted(): number[] {
    return this.#counted.splice(0);
  }
}

/**
 * A simple model of the allocator: the owner of every byte of the file, in
 * whole units, and the refcounts by definition. It sees only the answers, not the allocator's state.
 */
class Model {
  readonly references = new Map<number, number>();
  /** For each unit: 'other', or how many of its bytes the stream has filled, from the unit's start. */
  readonly units = new Map<number, 'other' | number>();
  readonly dataEnds = new Map<number, number>();
  /** Free places for tables, and the end of the last area. */
  readonly #freeTables = new Set<number>();
  #areaEnd = 0;
  #tables = 0;
  readonly #case: Case;
  /** End of the last compressed cluster. */
  #streamEnd: number | undefined;
  /** End of the allocated space, in whole units. */
  #end: number;
  interruptions = 0;
  wasted = 0;

  constructor(given: Case) {
    this.#case = given;
    this.#end = given.firstUnits * given.unit;
    for (let unit = 0; unit < given.firstUnits; unit += 1) this.units.set(unit, 'other');
  }

  get end(): number {
    return this.#end;
  }

  run(offset: number, clusters: number): void {
    const { clusterSize } = this.#case.geometry;
    expect(offset).toBe(this.#end);
    for (let at = offset; at < offset + clusters * clusterSize; at += clusterSize) {
      this.#refer(at / clusterSize);
      this.units.set(this.#unitOf(at), 'other');
    }
    this.#end = (this.#unitOf(offset + clusters * clusterSize - 1) + 1) * this.#case.unit;
  }

  /** An area takes at most about an eighth of the tables so far, or 16 KiB, and not more than the tables to follow. */
  area(offset: number, clusters: number, further: number): void {
    const { geometry: sizes, unit } = this.#case;
    expect(offset).toBe(this.#end);
    const most = Math.max(this.#tables / 8, 16_384 / sizes.clusterSize);
    const wanted = Math.max(1, Math.min(most, further) + 1) * sizes.clusterSize;
    expect(clusters * sizes.clusterSize).toBeLessThan(wanted + unit);
    for (let index = 0; index < clusters; index += 1) {
      const at = offset + index * sizes.clusterSize;
      this.#freeTables.add(at);
      this.units.set(this.#unitOf(at), 'other');
    }
    this.#end = offset + clusters * sizes.clusterSize;
    this.#areaEnd = this.#end;
    expect(this.#end % unit).toBe(0);
  }

  /** A payload never lies before the table that was taken before it. */
  leaveBefore(offset: number): void {
    if (this.#streamEnd === undefined || this.#streamEnd > offset) return;
    this.#streamEnd = undefined;
  }

  table(offset: number): void {
    expect(this.#freeTables.delete(offset)).toBe(true);
    this.#tables += 1;
    this.#refer(offset / this.#case.geometry.clusterSize);
  }

  /** Only the last area has free places, at its end. @returns the first; undefined without any */
  firstFreeTable(): number | undefined {
    const first = this.#areaEnd - this.#freeTables.size * this.#case.geometry.clusterSize;
    if (this.#freeTables.size === 0) return undefined;
    expect(Math.min(...this.#freeTables)).toBe(first);
    return first;
  }

  place({ offset, padding }: StreamPlace, length: number): void {
    const { geometry: sizes, unit } = this.#case;
    const before = this.#streamEnd;
    expect(padding === 0 || this.#unitOf(offset - padding) === this.#unitOf(offset)).toBe(true);
    if (before === undefined || offset - padding !== before) this.#judgeLeap(before, offset, length);
    else this.#judgePadding(offset, padding);

    // Every byte of a unit up to its data end is filled once, in order.
    for (let at = offset - padding; at < offset + length; ) {
      const index = this.#unitOf(at);
      const filled = this.units.get(index) ?? 0;
      expect([index, filled]).toEqual([index, at - index * unit]);
      expect(this.dataEnds.has(index)).toBe(false);
      const to = Math.min(offset + length, (index + 1) * unit);
      this.units.set(index, to - index * unit);
      at = to;
    }
    const firstSector = Math.floor(offset / SECTOR);
    const lastSector = Math.floor((offset + length - 1) / SECTOR);
    const first = Math.floor((firstSector * SECTOR) / sizes.clusterSize);
    const last = Math.floor((lastSector * SECTOR) / sizes.clusterSize);
    for (let cluster = first; cluster <= last; cluster += 1) this.#refer(cluster);
    this.#streamEnd = offset + length;
    this.#end = Math.max(this.#end, (this.#unitOf(offset + length - 1) + 1) * unit);
  }

  setDataEnd(unit: number, end: number): void {
    expect(this.dataEnds.has(unit)).toBe(false);
    expect(this.units.get(unit)).toBe(end);
    expect(end).toBeGreaterThan(0);
    expect(end).toBeLessThan(this.#case.unit);
    this.dataEnds.set(unit, end);
  }

  /** Whether the host cluster that holds the byte before `offset` can take no more references. */
  #isFull(offset: number): boolean {
    const { clusterSize, refcountMax } = this.#case.geometry;
    return this.references.get(Math.floor((offset - 1) / clusterSize)) === refcountMax;
  }

  /** Inside a unit, bytes are skipped only up to the next host cluster, and only if the present one is full. */
  #judgePadding(offset: number, padding: number): void {
    if (padding === 0) return;
    expect(this.#isFull(offset - padding)).toBe(true);
    expect(offset % this.#case.geometry.clusterSize).toBe(0);
    expect(padding).toBeLessThan(this.#case.geometry.clusterSize);
  }

  /** The stream leaves a unit early only when it must, and wastes less than the length of the payload. */
  #judgeLeap(before: number | undefined, offset: number, length: number): void {
    const { geometry: sizes, unit } = this.#case;
    expect(offset).toBe(this.#end);
    if (before === undefined) return;
    const unitEnd = Math.ceil(before / unit) * unit;
    const lost = unitEnd - before;
    const forced = this.#isFull(before) && before % sizes.clusterSize !== 0;
    const usable = forced ? Math.floor(lost / sizes.clusterSize) * sizes.clusterSize : lost;
    expect(usable).toBeLessThan(length);
    if (unitEnd !== this.#end) this.interruptions += 1;
    else expect(forced).toBe(true);
    this.wasted += lost;
  }

  #refer(cluster: number): void {
    const count = (this.references.get(cluster) ?? 0) + 1;
    expect(count).toBeLessThanOrEqual(this.#case.geometry.refcountMax);
    this.references.set(cluster, count);
  }

  #unitOf(offset: number): number {
    return Math.floor(offset / this.#case.unit);
  }
}

/** Runs a case, judging every answer. @returns the model and the answers */
function play(given: Case) {
  const model = new Model(given);
  const refcounts = new WatchedRefcounts(given.geometry, model);
  let further = 0;
  const allocator = new ClusterAllocator(
    given.geometry,
    given.unit,
    given.firstUnits * given.unit,
    refcounts,
    {
      setDataEnd: (unit, end) => model.setDataEnd(unit, end),
      beginTableArea: (offset, clusters) => model.area(offset, clusters, further),
    },
  );
  const answers: unknown[] = [];
  let settled = 0;
  for (const request of given.requests) {
    if (request.kind === 'run') {
      const offset = allocator.allocateRun(request.clusters);
      model.run(offset, request.clusters);
      answers.push(offset);
    } else if (request.kind === 'table') {
      ({ further } = request);
      const offset = allocator.allocateTable(further);
      model.table(offset);
      model.leaveBefore(offset);
      answers.push(offset);
    } else {
      const place = allocator.allocateBytes(request.bytes);
      model.place(place, request.bytes);
      answers.push(place);
    }
    expect(Math.min(...refcounts.takeCounted())).toBeGreaterThanOrEqual(settled);
    expect(allocator.settledBelow).toBeGreaterThanOrEqual(settled);
    settled = allocator.settledBelow;
    expect(settled * given.geometry.clusterSize).toBeLessThanOrEqual(
      model.firstFreeTable() ?? Number.POSITIVE_INFINITY,
    );
    expect(allocator.firstFree * given.geometry.clusterSize).toBe(model.end);
  }
  allocator.endStream();
  return { model, refcounts, allocator, answers };
}

describe('the allocator', () => {
  test('agrees with the model: one owner for each byte, correct refcounts, each data end told once', () => {
    fc.assert(
      fc.property(cases, (given) => {
        const { model, refcounts, allocator } = play(given);
        for (const [unit, filled] of model.units) {
          const isOpen = filled !== 'other' && filled < given.unit;
          expect([unit, model.dataEnds.get(unit)]).toEqual([unit, isOpen ? filled : undefined]);
        }
        for (let cluster = 0; cluster < allocator.firstFree; cluster += 1) {
          const count = refcounts.get(hostCluster(cluster));
          expect([cluster, count]).toEqual([cluster, model.references.get(cluster) ?? 0]);
        }
      }),
      { numRuns: tries(300) },
    );
  });

  test('wastes at most one payload for each interruption of the stream when refcounts are wide', () => {
    fc.assert(
      fc.property(cases, (given) => {
        fc.pre(given.geometry.refcountBits >= 16);
        const { model } = play(given);
        const longest = Math.max(0, ...given.requests.map((r) => (r.kind === 'payload' ? r.bytes : 0)));
        expect(model.wasted).toBeLessThanOrEqual(model.interruptions * Math.max(0, longest - 1));
      }),
    );
  });

  test('gives the same answers to the same requests', () => {
    fc.assert(
      fc.property(cases, (given) => {
        expect(play(given).answers).toEqual(play(given).answers);
      }),
      { numRuns: 30 },
    );
  });
});

/** An allocator that starts after one unit, with the data ends that it told. */
function make(clusterBits: number, refcountBits: number, unit: number) {
  const sizes = geometry(clusterBits, refcountBits);
  const refcounts = new RecountedRefcounts(sizes);
  const ends: [number, number][] = [];
  const setDataEnd = (index: number, end: number) => void ends.push([index, end]);
  const allocator = new ClusterAllocator(sizes, unit, unit, refcounts, {
    setDataEnd,
    beginTableArea: () => {},
  });
  return { allocator, ends, count: (cluster: number) => refcounts.get(hostCluster(cluster)) };
}

describe('examples worked out by hand', () => {
  test('payloads follow each other without gaps, also across contiguous host clusters', () => {
    const { allocator, ends, count } = make(16, 16, 65536);
    expect(allocator.allocateBytes(65_000)).toEqual({ offset: 65_536, padding: 0 });
    expect(allocator.allocateBytes(1000)).toEqual({ offset: 130_536, padding: 0 });
    expect(allocator.allocateBytes(65_080)).toEqual({ offset: 131_536, padding: 0 });
    expect([count(1), count(2), count(3)]).toEqual([2, 2, 1]);
    expect(ends).toEqual([]);
    allocator.endStream();
    expect(ends).toEqual([[3, 8]]);
  });

  test('a payload that ends with its unit needs no data end', () => {
    const { allocator, ends } = make(16, 16, 65536);
    allocator.allocateBytes(65_535);
    allocator.allocateBytes(1);
    allocator.endStream();
    expect(ends).toEqual([]);
  });

  test('after a run the stream continues in its old unit while payloads fit, then moves on', () => {
    const { allocator, ends, count } = make(12, 16, 4096);
    expect(allocator.allocateBytes(1000).offset).toBe(4096);
    expect(allocator.allocateRun(2)).toBe(8192);
    expect(allocator.allocateBytes(3096).offset).toBe(5096);
    expect(ends).toEqual([]);
    expect(allocator.allocateBytes(10).offset).toBe(16_384);
    expect(allocator.allocateRun(1)).toBe(20_480);
    expect(allocator.allocateBytes(4095).offset).toBe(24_576);
    expect(ends).toEqual([[4, 10]]);
    expect([1, 2, 3, 4, 5, 6].map(count)).toEqual([2, 1, 1, 1, 1, 1]);
  });

  test('after more than 16 MiB the stream does not return to its old unit, so an image can be written in order', () => {
    const { allocator, ends } = make(16, 16, 65_536);
    const most = 16 * 2 ** 20;
    expect(allocator.allocateBytes(1000).offset).toBe(65_536);
    const run = allocator.allocateRun(most / 65_536);
    expect([run, ends]).toEqual([131_072, []]);
    expect(allocator.allocateBytes(1000).offset).toBe(66_536);
    expect(allocator.allocateRun(1)).toBe(131_072 + most);
    expect(ends).toEqual([[1, 2000]]);
    expect(allocator.allocateBytes(1000).offset).toBe(131_072 + most + 65_536);
  });

  test('refcounts of one bit give every payload a host cluster of its own, padded within a unit', () => {
    const { allocator, ends, count } = make(9, 1, 4096);
    expect(allocator.allocateBytes(100)).toEqual({ offset: 4096, padding: 0 });
    expect(allocator.allocateBytes(511)).toEqual({ offset: 4608, padding: 412 });
    expect(allocator.allocateBytes(1)).toEqual({ offset: 5120, padding: 1 });
    for (let index = 3; index < 8; index += 1) allocator.allocateBytes(500);
    expect(ends).toEqual([]);
    // The unit's last cluster is full by count, not by bytes: the next unit has no padding to fill.
    expect(allocator.allocateBytes(7)).toEqual({ offset: 8192, padding: 0 });
    expect(ends).toEqual([[1, 7 * 512 + 500]]);
    expect([8, 9, 10, 15, 16].map(count)).toEqual([1, 1, 1, 1, 1]);
  });

  test('a payload may begin in a host cluster with one reference left and end in the next', () => {
    const { allocator, count } = make(9, 2, 4096);
    for (const length of [10, 10]) allocator.allocateBytes(length);
    expect(allocator.allocateBytes(500)).toEqual({ offset: 4116, padding: 0 });
    expect(allocator.allocateBytes(5)).toEqual({ offset: 4616, padding: 0 });
    expect([count(8), count(9)]).toEqual([3, 2]);
  });

  test('the unit of the stream is not settled, all others before the free space are', () => {
    const { allocator } = make(9, 16, 4096);
    expect(allocator.settledBelow).toBe(8);
    allocator.allocateBytes(300);
    expect(allocator.settledBelow).toBe(8);
    allocator.allocateRun(9);
    expect([allocator.settledBelow, allocator.firstFree]).toEqual([8, 32]);
    allocator.endStream();
    expect(allocator.settledBelow).toBe(32);
  });

  test('an L2 table lies before later payloads: the stream continues after it', () => {
    const { allocator, ends, count } = make(12, 16, 4096);
    expect(allocator.allocateTable(0)).toBe(4096);
    expect(allocator.allocateBytes(1000).offset).toBe(8192);
    expect(allocator.allocateTable(0)).toBe(12_288);
    expect(ends).toEqual([[2, 1000]]);
    expect(allocator.allocateBytes(3000).offset).toBe(16_384);
    expect([1, 2, 3, 4].map(count)).toEqual([1, 1, 1, 1]);
  });

  test('tables share an area, which is not settled while it has room', () => {
    const { allocator } = make(9, 16, 4096);
    expect(allocator.allocateTable(100)).toBe(4096);
    expect(allocator.allocateRun(1)).toBe(4096 + 16_384);
    expect([allocator.settledBelow, allocator.firstFree]).toEqual([9, 48]);
    for (let table = 1; table < 32; table += 1) expect(allocator.allocateTable(100)).toBe(4096 + table * 512);
    expect(allocator.settledBelow).toBe(48);
    // Two more can follow: one aligned write is enough.
    expect(allocator.allocateTable(2)).toBe(24_576);
    expect(allocator.firstFree).toBe(56);
  });

  test('a refcount block lies before the first cluster in its range, at the earliest in front of its own area', () => {
    const sizes = geometry(9, 64);
    const refcounts = new Refcounts(sizes);
    const areas: number[] = [];
    const allocator = new ClusterAllocator(sizes, 4096, 4096, refcounts, {
      setDataEnd() {},
      beginTableArea: (offset, clusters) => void areas.push(offset / 512, clusters),
    });
    // Blocks count 64 clusters each: those of the area, and of the run up to cluster 215.
    expect(allocator.allocateRun(200) / 512).toBe(16);
    expect(areas).toEqual([8, 8]);
    const table = refcounts.encodeTable(1);
    expect([0, 1, 2, 3, 4].map((index) => Number(readU64(table, index * 8)) / 512)).toEqual([
      8, 9, 10, 11, 0,
    ]);
    expect([8, 9, 10, 11, 12, 16, 215].map((cluster) => refcounts.get(hostCluster(cluster)))).toEqual([
      1, 1, 1, 1, 0, 1, 1,
    ]);
  });

  test('a reserved range is free until it is counted, and only its used part is counted', () => {
    const { allocator, count } = make(12, 16, 4096);
    expect(allocator.reserve(3)).toBe(4096);
    expect(allocator.allocateRun(1)).toBe(16_384);
    expect([0, 1, 2, 3, 4].map(count)).toEqual([0, 0, 0, 0, 1]);
    expect(allocator.end).toBe(20_480);
    allocator.count(hostOffset(4096), 5000);
    expect([0, 1, 2, 3, 4].map(count)).toEqual([0, 1, 1, 0, 1]);
  });

  test('the end is that of the last byte in use, independent of the next table', () => {
    const { allocator } = make(9, 16, 4096);
    expect(allocator.end).toBe(4096);
    allocator.allocateTable(0);
    expect(allocator.end).toBe(4608);
    allocator.allocateBytes(100);
    expect(allocator.end).toBe(8292);
    allocator.allocateTable(0);
    expect(allocator.end).toBe(8292);
  });
});
