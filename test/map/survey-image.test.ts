import * as fs from 'node:fs';
import { expect, test } from 'vitest';
import type { Cells } from '../../src/map/cells.js';
import { surveyImage } from '../../src/map/survey-image.js';
import { useScratch } from '../e2e/scratch.js';
import { randomBytes } from '../e2e/source-images.js';
import { check, create } from '../oracle/qemu-img.js';
import { qemuIo } from '../oracle/qemu-io.js';
import { runOk } from '../oracle/run.js';

const path = useScratch();
const CLUSTER = 65536;
const survey = (name: string) => surveyImage({ image: { file: path(name), format: 'qcow2' } });

/** The totals of kinds, in clusters. */
function totals<Kind extends string>(cells: Cells<Kind>, kinds: readonly Kind[]): Record<string, number> {
  return Object.fromEntries(kinds.map((kind) => [kind, cells.total(kind) / CLUSTER]));
}

/** The kinds of a cell must add up to the cell. */
function expectFull<Kind extends string>(cells: Cells<Kind>, kinds: readonly Kind[]): void {
  for (let cell = 0; cell < cells.count; cell += 1) {
    const sum = kinds.reduce((whole, kind) => whole + cells.of(kind, cell), 0);
    expect(sum).toBeCloseTo(cells.bytesIn(cell), 3);
  }
}

const DISK = [
  'data',
  'compressed',
  'preallocated',
  'zero',
  'backing1',
  'backing2',
  'backing3',
  'unallocated',
] as const;
const FILE = [
  ...(['header', 'l1', 'l2', 'refcounts', 'snapshots', 'bitmaps', 'compressed', 'data'] as const),
  ...(['preallocated', 'snapshotData', 'slack', 'leaked', 'unused', 'hole'] as const),
];

test('finds the contents of an image and their places', async () => {
  await create(path('all.qcow2'), 64 * CLUSTER);
  await qemuIo(path('all.qcow2'), ['write -P 1 0 640k', 'write -c -P 2 1M 64k', 'write -c -P 3 1088k 64k']);
  await runOk('qemu-img', ['snapshot', '-c', 'before', path('all.qcow2')]);
  await runOk('qemu-img', ['bitmap', '--add', path('all.qcow2'), 'changes']);
  // Two clusters that only the snapshot has now, and one that is zeros.
  await qemuIo(path('all.qcow2'), ['write -P 4 0 128k', 'write -z 256k 64k']);
  const { disk, files } = await survey('all.qcow2');
  expectFull(disk, DISK);
  expect(totals(disk, DISK)).toMatchObject({ data: 9, compressed: 2, zero: 1, unallocated: 52, backing1: 0 });
  expect(disk.total('payload')).toBeGreaterThan(100);
  expect(disk.total('payload')).toBeLessThan(4096);
  expect(disk.of('zero', (256 * 1024) / disk.cellSize)).toBe(disk.cellSize);

  const [own, dataFile] = files;
  expect(dataFile).toBeUndefined();
  const { cells } = own!;
  expectFull(cells, FILE);
  // The snapshot's table, its L1 table and the L2 table of its own; the cluster that is zeros now keeps its place.
  expect(totals(cells, FILE)).toMatchObject({ header: 1, l1: 1, l2: 1, refcounts: 2, snapshots: 3, data: 9 });
  expect(totals(cells, FILE)).toMatchObject({ snapshotData: 2, preallocated: 1, leaked: 0 });
  // Both payloads are in one cluster.
  expect(cells.total('slack')).toBe(CLUSTER - cells.total('compressed'));
  expect(cells.total('bitmaps')).toBeGreaterThan(0);
  expect(cells.total('compressed')).toBeGreaterThanOrEqual(disk.total('payload') - 1024);
  expect(cells.of('header', 0)).toBe(cells.cellSize);
  expect((await check(path('all.qcow2'))).corruptions).toBe(0);
});

test('distinguishes clusters of snapshots only, slack and leaks', async () => {
  const file = path('three.qcow2');
  await create(file, 64 * CLUSTER);
  // Two payloads of some 10 KiB in a cluster; the disk gives one up, and writes a cluster anew.
  const part = path('part');
  fs.writeFileSync(part, Buffer.concat([randomBytes(10_000), Buffer.alloc(CLUSTER - 10_000)]));
  await qemuIo(file, [`write -c -s ${part} 0 64k`, `write -c -s ${part} 64k 64k`, 'write -P 1 1M 192k']);
  await runOk('qemu-img', ['snapshot', '-c', 'before', file]);
  await qemuIo(file, ['discard 64k 64k', 'write -P 4 1M 64k']);
  const before = (await survey('three.qcow2')).files[0]!.cells;
  expectFull(before, FILE);
  const payload = before.total('snapshotData') - CLUSTER;
  expect(payload).toBeGreaterThan(9_000);
  expect(payload).toBeLessThan(11_000);
  expect(before.total('slack')).toBe(CLUSTER - payload - before.total('compressed'));
  expect(totals(before, FILE)).toMatchObject({ leaked: 0, data: 3 });

  // The snapshot is forgotten: what only it had is leaked, with the table that names it.
  const header = fs.openSync(file, 'r+');
  fs.writeSync(header, new Uint8Array(12), 0, 12, 60);
  fs.closeSync(header);
  const after = (await survey('three.qcow2')).files[0]!.cells;
  expectFull(after, FILE);
  expect(totals(after, FILE)).toMatchObject({ snapshotData: 0, snapshots: 0, data: 3 });
  expect(after.total('leaked')).toBe(before.total('snapshots') + CLUSTER);
  expect((await check(file)).leaks).toBeGreaterThanOrEqual(after.total('leaked') / CLUSTER);
});

test('distinguishes the images of a chain, and surveys only the topmost file', async () => {
  const names = ['0', '1', '2', '3', '4'];
  for (const [depth, name] of names.entries()) {
    const backing = depth === 0 ? [] : ['-b', `${names[depth - 1]}.qcow2`, '-F', 'qcow2'];
    await create(path(`${name}.qcow2`), 8 * CLUSTER, backing);
    await qemuIo(path(`${name}.qcow2`), [`write -P 7 ${depth * CLUSTER} 64k`]);
  }
  const { disk, files, backingFiles } = await survey('4.qcow2');
  const expected = { data: 1, backing1: 1, backing2: 1, backing3: 2, unallocated: 3 };
  expect(totals(disk, DISK)).toMatchObject(expected);
  expect(backingFiles).toEqual(['3', '2', '1', '0'].map((name) => path(`${name}.qcow2`)));
  expect(files.map(({ name }) => name)).toEqual([path('4.qcow2')]);
  expect(files[0]!.cells.total('data')).toBe(CLUSTER);
});

test('surveys an external data file', async () => {
  await runOk('qemu-img', [
    ...['create', '-q', '-f', 'qcow2', '-o', `data_file=${path('d.data')},data_file_raw=off`],
    ...[path('d.qcow2'), '1M'],
  ]);
  await qemuIo(path('d.qcow2'), ['write -P 1 128k 64k']);
  const { files } = await survey('d.qcow2');
  expect(files.map(({ name }) => name)).toEqual([path('d.qcow2'), path('d.data')]);
  expect(files[0]!.cells.total('data')).toBe(0);
  expect(files[1]!.cells.total('data')).toBe(CLUSTER);
  expect(files[1]!.cells.of('data', (128 * 1024) / files[1]!.cells.cellSize)).toBe(files[1]!.cells.cellSize);
});

test('distinguishes holes and data of a raw file, also for a part of the disk', async () => {
  fs.writeFileSync(path('raw'), Buffer.alloc(CLUSTER, 1));
  fs.truncateSync(path('raw'), 8 * CLUSTER);
  const image = { file: path('raw'), format: 'raw' } as const;
  const { disk, files, clusterSize } = await surveyImage({ image });
  expect(clusterSize).toBeUndefined();
  expect(totals(disk, DISK)).toMatchObject({ data: 1, zero: 7 });
  expect(totals(files[0]!.cells, FILE)).toMatchObject({ data: 1, hole: 7 });
  const part = await surveyImage({ image, startOffset: 4096, maxLength: CLUSTER });
  expect([part.disk.from, part.disk.to]).toEqual([4096, 4096 + CLUSTER]);
  expect([part.disk.total('data'), part.disk.total('zero')]).toEqual([CLUSTER - 4096, 4096]);
});

test('takes no more memory for more clusters', async () => {
  await create(path('t.qcow2'), 2 ** 44);
  await qemuIo(path('t.qcow2'), ['write -P 1 8T 64k']);
  const { disk } = await survey('t.qcow2');
  expect(disk.count).toBe(4096);
  const cell = 2 ** 43 / disk.cellSize;
  expect([disk.of('data', cell - 1), disk.of('data', cell), disk.of('data', cell + 1)]).toEqual([
    0,
    CLUSTER,
    0,
  ]);
});

test('follows the NBD name of a backing file only if the caller allows it', async () => {
  const name = `nbd+unix:///?socket=${path('no-server')}`;
  await runOk('qemu-img', [
    'create',
    '-q',
    '-u',
    '-f',
    'qcow2',
    '-b',
    name,
    '-F',
    'raw',
    path('over.qcow2'),
    '1M',
  ]);
  const image = { file: path('over.qcow2'), format: 'qcow2' } as const;
  await expect(surveyImage({ image })).rejects.toMatchObject({ code: 'ERR_UNSUPPORTED' });
  await expect(surveyImage({ image, nbd: { allowBacking: true } })).rejects.toMatchObject({ code: 'ERR_IO' });
});
