/**
 * Payloads that no compressor writes, through every command that reads them: qcow2c accepts the payloads that QEMU
 * accepts, and QEMU reads the results.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { constants, deflateRawSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { BitWriter, END_OF_BLOCK, writeDynamicHeader, writeTokens } from '../engines/deflate-writer.js';
import { text } from '../engines/samples.js';
import { zstdFrame } from '../engines/zstd-frames.js';
import { payloadImage } from '../examine/payload-image.js';
import { qemuReads } from '../examine/qemu-reads.js';
import * as qemuImg from '../oracle/qemu-img.js';
import { run } from '../oracle/run.js';
import { shortened } from '../stage.js';
import { cli } from './cli.js';
import { useScratch } from './scratch.js';

const path = useScratch();
const CLUSTER = 4096;
const CONTENT_SIZE_FLAG = 200;
const first = Buffer.from(text(CLUSTER));
const second = Buffer.from(text(CLUSTER, 2));

type Payload = readonly [type: 'zlib' | 'zstd', payload: Uint8Array, content: Buffer];

/** Letters a and b, in one dynamic block with these many symbols. */
function lettersIn(lengthSymbols: number, distanceSymbols: number): Payload {
  const letters = Array.from({ length: CLUSTER }, (_, index) => 97 + (((index * index) >> 3) % 2));
  const lengths = new Array<number>(lengthSymbols).fill(0);
  [lengths[97], lengths[98], lengths[END_OF_BLOCK]] = [1, 2, 2];
  const distances = new Array<number>(distanceSymbols).fill(0);
  [distances[0], distances[1]] = [1, 1];
  const writer = new BitWriter();
  writeDynamicHeader(writer, true, { lengths, distances });
  writeTokens(writer, [...letters, END_OF_BLOCK], { lengths, distances });
  return ['zlib', writer.bytes(), Buffer.from(letters)];
}

/** A frame that states a window of 256 MiB. */
function wideWindow(): Payload {
  const frame = Buffer.from(zstdFrame(first, [[CONTENT_SIZE_FLAG, 0]]));
  frame[5] = 18 << 3;
  return ['zstd', frame, first];
}

const skippable = Buffer.from('5a2a4d1803000000aabbcc', 'hex');
const emptyFrame = zstdFrame(new Uint8Array(0), []);
const halves = [first.subarray(0, 1000), first.subarray(1000)].map((half) => zstdFrame(half, []));
const cluster = (payload: Uint8Array, type: 'zlib' | 'zstd' = 'zlib'): Payload => [type, payload, first];

/** Payloads that QEMU refuses, and the number of bytes that can be inflated. */
const REFUSED: readonly (readonly [string, Payload, number])[] = [
  ['32 distance symbols', lettersIn(257, 32), CLUSTER],
  ['288 length symbols', lettersIn(288, 2), CLUSTER],
  ['a window of 256 MiB', wideWindow(), CLUSTER],
  ['more than a cluster in a frame', cluster(zstdFrame(Buffer.concat([first, second]), []), 'zstd'), CLUSTER],
  ['a frame of half a cluster', cluster(halves[0]!, 'zstd'), 1000],
  ['no final block, zeros after it', cluster(unfinished(Buffer.alloc(0))), CLUSTER],
  ['a stream of half a cluster', cluster(deflateRawSync(first.subarray(0, 1000))), 1000],
];

/** Payloads that QEMU reads although they are not one stream of one cluster. */
const ODD: readonly (readonly [string, Payload])[] = [
  ['more than a cluster', cluster(deflateRawSync(Buffer.concat([first, second])))],
  ['no final block, a stream after it', cluster(unfinished(deflateRawSync(second)))],
];

/** Payloads that QEMU reads as whole frames. */
const FRAMES: readonly (readonly [string, Payload])[] = [
  ['two frames', cluster(Buffer.concat(halves), 'zstd')],
  ['an empty frame between two', cluster(Buffer.concat([halves[0]!, emptyFrame, halves[1]!]), 'zstd')],
  [
    'skippable frames before, between and after',
    cluster(Buffer.concat([skippable, halves[0]!, skippable, emptyFrame, halves[1]!, skippable]), 'zstd'),
  ],
];

/** All blocks of a stream of the first cluster but a final one. */
function unfinished(behind: Buffer): Buffer {
  return Buffer.concat([deflateRawSync(first, { finishFlush: constants.Z_SYNC_FLUSH }), behind]);
}

/** An image of the payload, with zeros after it, and a sound one. */
async function imageOf([compressionType, payload]: Payload): Promise<string> {
  const other = compressionType === 'zlib' ? deflateRawSync(second) : zstdFrame(second, []);
  const contents = [{ payload: Buffer.concat([payload, Buffer.alloc(64)]) }, { payload: other }];
  await writeFile(
    path('source.qcow2'),
    await payloadImage(contents, { clusterSize: CLUSTER, compressionType }),
  );
  return path('source.qcow2');
}

async function isReadByQemu(image: string): Promise<boolean> {
  return (await qemuReads(image, 1, CLUSTER))[0] !== undefined;
}

async function contentOf(image: string): Promise<Buffer> {
  expect((await run('qemu-img', ['convert', '-O', 'raw', image, path('content')])).status).toBe(0);
  return readFile(path('content'));
}

/** To the same cluster size, so that payloads can be copied. */
const converted = (type: string, ...args: readonly string[]) =>
  cli([
    ...['convert', '-c', '-m', '1', '-o', `cluster_size=${CLUSTER},compression_type=${type}`, ...args],
    ...['-f', 'qcow2', path('source.qcow2'), path('target.qcow2')],
  ]);

describe.each(shortened(REFUSED, 2))('%s', (_, payload, kept) => {
  test('is an error as in QEMU; salvage keeps the inflated bytes, and QEMU reads the result', async () => {
    const source = await imageOf(payload);
    expect(await isReadByQemu(source)).toBe(false);
    const [type, , content] = payload;
    const expected = Buffer.concat([content.subarray(0, kept), Buffer.alloc(CLUSTER - kept), second]);
    await writeFile(path('expected'), expected);

    expect(await converted(type, '--verify')).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/guest offset 0 cannot be read: /),
    });
    const checked = await cli(['check', '--data', source]);
    expect([checked.status, checked.stderr]).toEqual([2, expect.stringContaining('at guest offset 0')]);
    const raw = ['-f', 'qcow2', '-F', 'raw', source, path('expected')];
    expect(await cli(['compare', ...raw])).toMatchObject({ status: 4 });
    const deep = await cli(['info', '--deep', '--output=json', source]);
    expect(deep.stdout).toMatch(/"broken-clusters": 1\b/);

    const { status, stderr } = await converted(type, '--salvage', '--verify');
    expect(status).toBe(0);
    expect(stderr).toMatch(
      kept === CLUSTER
        ? /^qcow2c: warning: .* is malformed: .*; all of its 4096 bytes were recovered\n$/
        : /cannot be read: .* \(3096 bytes replaced with zeros\)\n/,
    );
    expect((await contentOf(path('target.qcow2'))).equals(expected)).toBe(true);
    expect((await cli(['check', '--data', path('target.qcow2')])).status).toBe(0);
  });
});

describe.each(ODD)('%s', (_, payload) => {
  test('is read as in QEMU, with a warning, and not copied', async () => {
    const source = await imageOf(payload);
    expect(await isReadByQemu(source)).toBe(true);
    const { status, stderr } = await converted('zlib', '--verify');
    expect([status, stderr]).toEqual([0, expect.stringMatching(/^qcow2c: warning: .* is malformed: .*\n$/)]);
    expect((await contentOf(path('target.qcow2'))).equals(Buffer.concat([first, second]))).toBe(true);
    const checks = await Promise.all(
      [source, path('target.qcow2')].map((image) => cli(['check', '--data', image])),
    );
    expect(checks.map((check) => [check.status, check.stderr.includes('WARNING')])).toEqual([
      [0, true],
      [0, false],
    ]);
  });
});

describe.each(FRAMES)('%s', (_, payload) => {
  test('are a sound payload, which is copied unchanged', async () => {
    const source = await imageOf(payload);
    expect(await isReadByQemu(source)).toBe(true);
    const { status, stderr } = await converted('zstd', '--verify', '-v');
    expect([status, stderr]).toEqual([0, expect.stringContaining('2 compressed (2 copied)')]);
    expect((await contentOf(path('target.qcow2'))).equals(Buffer.concat([first, second]))).toBe(true);
    await qemuImg.check(path('target.qcow2'));
    expect(await cli(['check', '--data', source])).toMatchObject({ status: 0, stderr: '' });
  });
});
