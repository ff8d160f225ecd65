/** The system calls, as strace sees them: the writes, the reads and their order. */
import { readFile, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  readTrace,
  type SystemCall,
  type Transfer,
  transferOf,
  underStrace,
  unquote,
} from '../oracle/strace.js';
import { longTest, sample } from '../stage.js';
import { cliOk } from './cli.js';
import { layoutOf, overlaps } from './image-layout.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { dataRanges, makeMixedDisk, makeSparseDisk } from './source-images.js';

const path = useScratch();
const raw = path('mixed.raw');
const image = path('image.qcow2');
const WRITE_LOG = path('writes.log');
const LOG_ADDRESSES = fileURLToPath(new URL('./log-write-addresses.mjs', import.meta.url));
/** O_DIRECT is satisfied by this on every disk. */
const ALIGNMENT = 4096;
const MIB = 1024 * 1024;

beforeAll(() => makeMixedDisk(raw));

interface Trace {
  readonly calls: readonly SystemCall[];
  /** The call that gave the image its name. */
  readonly rename: SystemCall;
  /** Every read and write of the file that became the image, in the order of their ends. */
  readonly target: readonly Transfer[];
  readonly targetFlags: string;
  readonly source: readonly Transfer[];
}

async function traced(flags: readonly string[], source = raw): Promise<Trace> {
  await rm(WRITE_LOG, { force: true });
  await rm(image, { force: true });
  const log = path('trace');
  await cliOk(['convert', '-f', 'raw', '-O', 'qcow2', ...flags, source, image], {
    under: underStrace(log),
    nodeOptions: ['--import', LOG_ADDRESSES],
    env: { QCOW2C_TEST_WRITE_LOG: WRITE_LOG },
  });
  const calls = await readTrace(log);
  const renames = calls.filter(
    (c) => c.name.startsWith('rename') && c.args.some((a) => unquote(a) === image),
  );
  expect(renames).toHaveLength(1);
  const rename = renames[0]!;
  const temporary = rename.args.map(unquote).find((name) => name !== image && name.includes('/'))!;
  expect(dirname(temporary)).toBe(dirname(image));
  const transfersOf = (file: string) =>
    calls.filter((call) => call.file === file).flatMap((call) => transferOf(call) ?? []);
  const target = transfersOf(temporary);
  return { calls, rename, target, targetFlags: target[0]!.call.flags, source: transfersOf(source) };
}

const lengthOf = ({ lengths }: Transfer) => lengths.reduce((sum, length) => sum + length, 0);
const rangeOf = (transfer: Transfer) => ({
  from: transfer.offset!,
  to: transfer.offset! + lengthOf(transfer),
});

const SHAPES: [string, string[]][] = [
  ['zlib', ['-c']],
  ['zstd', ['-c', '-o', 'compression_type=zstd']],
  ['zlib, clusters of 512 bytes', ['-c', '-o', 'cluster_size=512']],
  ['zlib, clusters of 4 KiB, version 2', ['-c', '-o', 'cluster_size=4k,compat=0.10']],
  ['zlib, clusters of 2 MiB', ['-c', '-o', 'cluster_size=2M']],
  ['normal clusters', []],
];

describe.each(sample(SHAPES, 2))('%s', (_, flags) => {
  let trace: Trace;
  beforeAll(async () => {
    trace = await traced(flags);
  });

  test('every write is direct and aligned in offset, length and address; nothing is read back or written twice', async () => {
    const { target, targetFlags } = trace;
    await expectGoodImage(image, raw);
    expect(targetFlags).toContain('O_DIRECT');
    expect(target.filter(({ kind }) => kind === 'read')).toEqual([]);
    expect(target.filter(({ call }) => call.error !== undefined || call.flags !== targetFlags)).toEqual([]);

    const unaligned = target.filter(
      ({ offset, lengths, address }) =>
        offset === undefined ||
        offset % ALIGNMENT !== 0 ||
        lengths.some((length) => length % ALIGNMENT !== 0) ||
        (address !== undefined && address % BigInt(ALIGNMENT) !== 0n),
    );
    expect(unaligned).toEqual([]);

    // The addresses in vectors come from inside the process; the log is believed only if it is complete.
    const logged = (await readFile(WRITE_LOG, 'utf8'))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { offset: number; buffers: [number, number][] });
    const seen = target.map(({ offset, lengths }) => JSON.stringify([offset, lengths]));
    const noted = logged.map(({ offset, buffers }) => JSON.stringify([offset, buffers.map(([, n]) => n)]));
    expect(noted.sort()).toEqual(seen.sort());
    expect(
      logged.flatMap(({ buffers }) => buffers.map(([rest]) => rest)).filter((rest) => rest !== 0),
    ).toEqual([]);

    const ranges = target.map(rangeOf).sort((a, b) => a.from - b.from);
    expect(ranges.filter((range, index) => index > 0 && overlaps(ranges[index - 1]!, range))).toEqual([]);
  });

  test('there are no more writes than host clusters', async () => {
    const { target } = trace;
    const { clusterSize } = await layoutOf(image);
    const unit = Math.max(clusterSize, ALIGNMENT);
    expect(target.length).toBeLessThanOrEqual(Math.ceil((await stat(image)).size / unit));
  });

  test('data, sync, tables and header, sync, name, sync of the directory: in this order', async () => {
    const { calls, rename, target } = trace;
    const layout = await layoutOf(image);
    const at = (call: SystemCall) => calls.indexOf(call);
    const writesOf = (ranges: readonly { from: number; to: number }[]) =>
      target
        .filter((write) => ranges.some((range) => overlaps(rangeOf(write), range)))
        .map(({ call }) => at(call));

    const { file } = target[0]!.call;
    const syncs = calls
      .filter((c) => /^f(data)?sync$/.test(c.name) && c.file === file && c.result === 0)
      .map(at);
    const lastData = Math.max(...writesOf(layout.data));
    const roots = writesOf([layout.header, ...layout.roots]);
    expect(syncs.some((sync) => lastData < sync && sync < Math.min(...roots))).toBe(true);

    const lastWrite = Math.max(...target.map(({ call }) => at(call)));
    expect(syncs.some((sync) => lastWrite < sync && sync < at(rename))).toBe(true);

    const directorySync = calls.filter((c) => c.name === 'fsync' && c.file === dirname(image)).map(at);
    expect(directorySync.some((sync) => sync > at(rename))).toBe(true);
  });

  test('holes of the source are never read, and no byte is read twice', async () => {
    const { source } = trace;
    const data = await dataRanges(raw);
    const read = source.filter(({ kind }) => kind === 'read').map(rangeOf);
    const inHoles = read.filter(
      ({ from, to }) => !data.some((range) => range.from <= from && to <= range.to),
    );
    expect(inHoles).toEqual([]);
    const bytes = (ranges: readonly { from: number; to: number }[]) =>
      ranges.reduce((n, r) => n + r.to - r.from, 0);
    expect(bytes(read)).toBe(bytes(data));
  });
});

longTest('the write cache turns a write a guest cluster into at most a write a host cluster', async () => {
  const ones = path('ones.raw');
  await makeSparseDisk(ones, 8 * MIB, [[0, Buffer.alloc(8 * MIB, 1)]]);
  const cached = await traced(['-c'], ones);
  const hostClusters = Math.ceil((await stat(image)).size / 65536);
  expect(cached.target.length).toBeLessThanOrEqual(hostClusters);

  const bypassed = await traced(['-c', '--compressed-cache-size', '0'], ones);
  await expectGoodImage(image, ones);
  expect(bypassed.target.length).toBeGreaterThan(128);
});

longTest('-t unsafe never syncs, -t writethrough and -t directsync make every write durable', async () => {
  const unsafe = await traced(['-c', '-t', 'unsafe']);
  const { file } = unsafe.target[0]!.call;
  expect(unsafe.calls.filter((c) => /sync/.test(c.name) && c.file === file)).toEqual([]);
  expect(unsafe.targetFlags).not.toContain('O_DIRECT');

  const writethrough = await traced(['-c', '-t', 'writethrough']);
  expect(writethrough.targetFlags).toContain('O_DSYNC');
  expect(writethrough.targetFlags).not.toContain('O_DIRECT');

  const directsync = await traced(['-c', '-t', 'directsync']);
  expect(directsync.targetFlags).toContain('O_DSYNC');
  expect(directsync.targetFlags).toContain('O_DIRECT');
});

test('-t writeback goes through the page cache and still syncs before the image is renamed', async () => {
  const { calls, rename, target, targetFlags } = await traced(['-c', '-t', 'writeback']);
  expect(targetFlags).not.toContain('O_DIRECT');
  const { file } = target[0]!.call;
  const last = calls.findLastIndex((c) => /^f(data)?sync$/.test(c.name) && c.file === file);
  expect(last).toBeGreaterThan(Math.max(...target.map(({ call }) => calls.indexOf(call))));
  expect(last).toBeLessThan(calls.indexOf(rename));
});

test('-T none reads the source around the page cache', async () => {
  const { source } = await traced(['-c', '-T', 'none']);
  await expectGoodImage(image, raw);
  expect(source.every(({ call }) => call.flags.includes('O_DIRECT') && call.error === undefined)).toBe(true);
});
