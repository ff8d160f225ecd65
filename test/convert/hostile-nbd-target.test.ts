/** Servers that fail, hang, lie or send garbage while an export is written: the conversion ends with one error. */
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import type { ConvertOptions } from '../../src/convert/options.js';
import { useScratch } from '../e2e/scratch.js';
import { patchworkBytes } from '../e2e/source-images.js';
import {
  BLOCK_STATUS,
  chunk,
  dataChunk,
  doneChunk,
  errorChunk,
  FLUSH,
  type NbdRequest,
  type Script,
  scriptedServer,
  TRIM,
  WRITE,
  WRITE_ZEROES,
} from '../oracle/scripted-nbd-server.js';
import { convertHere } from './built-worker.js';

const path = useScratch();
const MIB = 2 ** 20;
/** Data, then zeros, then data up to the end. */
const disk = path('disk.raw');
const SIZE = 8 * MIB;

beforeAll(() =>
  writeFile(disk, Buffer.concat([patchworkBytes(2 * MIB), Buffer.alloc(4 * MIB), patchworkBytes(2 * MIB)])),
);

/** Restores into a server that follows the script. @returns the message, with URI in place of the name */
async function failure(script: Script, options: Partial<ConvertOptions> = {}): Promise<string> {
  await using server = await scriptedServer(path('s'), { isWritable: true, size: SIZE, ...script });
  const restored = convertHere({
    ...{ sources: [disk], sourceFormat: 'raw', target: server.uri, targetFormat: 'raw', threads: 2 },
    ...{ nbd: { timeoutMs: 300 }, ...options },
  });
  const error = await restored.then(
    () => new Error('it succeeded'),
    (reason: Error) => reason,
  );
  expect(error).toMatchObject({ code: 'ERR_IO', file: server.uri });
  return error.message.replace(server.uri, 'URI');
}

const answers = (type: number, answer: NonNullable<Script['answer']>): Script => ({
  answer: (request) => (request.type === type ? answer(request) : undefined),
});

const REQUESTS: [string, number, Script, string][] = [
  ['a write', WRITE, {}, "Could not write \\d+ bytes( of zeros)? to 'URI' at offset \\d+: "],
  ['write-zeroes', WRITE_ZEROES, {}, "Could not write \\d+ bytes( of zeros)? to 'URI' at offset \\d+: "],
  [
    'a trim',
    TRIM,
    { isWritable: { without: WRITE_ZEROES } },
    "Could not (trim|write) \\d+ bytes (of|to) 'URI' at offset \\d+: ",
  ],
  [
    'block status',
    BLOCK_STATUS,
    { isWritable: { without: WRITE_ZEROES } },
    "Could not (write \\d+ bytes to|read the block status of) 'URI' at offset \\d+: ",
  ],
  ['a flush', FLUSH, {}, "Could not sync 'URI': "],
];

const ANSWERS: [string, (request: NbdRequest) => Buffer | 'close' | 'nothing', string][] = [
  ['garbage', () => randomBytes(64), 'invalid reply magic'],
  ['the cookie of another request', () => doneChunk({ cookie: Buffer.alloc(8, 0xee) }), 'no matching cookie'],
  [
    'a reply of 4 GB',
    ({ cookie }) => chunk(cookie, 0, Buffer.alloc(0)).fill(255, 16, 20),
    'invalid server reply length',
  ],
  ['data that was not requested', (request) => dataChunk(request, Buffer.alloc(512)), 'invalid command'],
  ['a part of a reply', (request) => doneChunk(request).subarray(0, 9), 'sent nothing|cookie|magic'],
  ['the end of the connection', () => 'close', 'the server closed the connection|Broken pipe|reset by peer'],
  ['nothing', () => 'nothing', 'the server has sent nothing for 0.3 seconds \\(--nbd-timeout\\)'],
];

describe.each(REQUESTS)('the answer to %s', (_, type, script, words) => {
  test.each(ANSWERS)('is %s', async (_answer, answer, reason) => {
    const message = await failure({ ...script, ...answers(type, answer) });
    expect(message).toMatch(new RegExp(`^${words}.*(${reason})`));
    expect(message).not.toContain('\n');
  });
});

test.each(REQUESTS.filter(([, type]) => type !== BLOCK_STATUS))(
  'a refusal of %s is reported',
  async (_, type, script, words) => {
    const message = await failure({ ...script, ...answers(type, (request) => errorChunk(request, 28)) });
    expect(message).toMatch(new RegExp(`^${words}No space left on device$`));
  },
);

describe.each([
  ['ENOTSUP', 95],
  ['EINVAL', 22],
])('a server that answers %s', (_, errno) => {
  test.each([
    ['write-zeroes', WRITE_ZEROES, true],
    ['trims', TRIM, { without: WRITE_ZEROES }],
    ['block status', BLOCK_STATUS, { without: WRITE_ZEROES }],
  ])('to %s is not asked again for later ranges, and zeros are written', async (_kind, type, isWritable) => {
    const holes = path('holes.raw');
    const count = 64;
    const piece = Buffer.concat([Buffer.alloc(MIB / 2, 'x'), Buffer.alloc(MIB / 2)]);
    await writeFile(holes, Buffer.concat(Array<Buffer>(count).fill(piece)));
    let asked = 0;
    let written = 0;
    const answer = (request: NbdRequest) => {
      if (request.type === WRITE) written += request.length;
      if (request.type !== type) return undefined;
      asked += 1;
      return errorChunk(request, errno);
    };
    await using server = await scriptedServer(path('s'), { isWritable, size: count * MIB, answer });
    await convertHere({
      ...{ sources: [holes], sourceFormat: 'raw', target: server.uri, targetFormat: 'raw', threads: 2 },
    });
    expect(written).toBe(count * MIB);
    // Four items of two ranges are written at the same time.
    expect(asked).toBeGreaterThan(0);
    expect(asked).toBeLessThanOrEqual(8);
  });
});

describe('a size', () => {
  test('larger than the export really is', async () => {
    const isBeyond = ({ offset, length }: NbdRequest) => offset + length > 7 * MIB;
    const script = answers(WRITE, (request) => (isBeyond(request) ? errorChunk(request, 22) : undefined));
    expect(await failure(script)).toMatch(
      /^Could not write \d+ bytes to 'URI' at offset \d+: Invalid argument$/,
    );
  });

  test.each([2n ** 53n, 2n ** 62n, 2n ** 64n - 1n])('of %d bytes', async (size) => {
    expect(await failure({ size })).toMatch(
      /^Could not open 'URI' for writing: .* 2 \*\* (53|63) bytes or more/,
    );
  });

  test('that differs on the second connection', async () => {
    const script: Script = {
      size: (connection) => (connection === 0 ? SIZE : SIZE - MIB),
      ...answers(WRITE, () => 'nothing'),
    };
    expect(await failure(script, { nbd: { timeoutMs: 10_000 } })).toMatch(
      /: the server states 8388608 bytes on one connection, and 7340032 on another$/,
    );
  });
});

test('a qcow2 image has no header if its server fails', async () => {
  const headers: number[] = [];
  const script = answers(WRITE, (request) => {
    if (request.offset === 0) headers.push(request.length);
    return request.offset >= MIB ? 'close' : undefined;
  });
  const message = await failure(script, { targetFormat: 'qcow2', nbd: { timeoutMs: 5000 } });
  expect(message).toMatch(/^Could not write \d+ bytes to 'URI' at offset \d+: /);
  // The old header is overwritten with zeros.
  expect(headers).toEqual([65_536]);
});
