/** Libraries that compress some clusters wrongly: the image is still correct, and the user is warned. */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import * as qemuImg from '../oracle/qemu-img.js';
import { sample } from '../stage.js';
import { cli, cliOk } from './cli.js';
import { compile, ERRING, erring, inFront, type LibraryName } from './fake-libraries.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { textBytes } from './source-images.js';

const path = useScratch();
const [raw, image] = [path('disk.raw'), path('image.qcow2')];
const CLUSTER = 131_072;
const content = textBytes(16 * CLUSTER);
/** How many clusters are compressed wrongly. */
const wrong = Array.from({ length: 16 }, (_, index) => content[index * CLUSTER + CLUSTER / 2] ?? 0).filter(
  (byte) => byte % 3 === ERRING.remainder,
).length;
const env: Record<LibraryName, Record<string, string>> = { libdeflate: {}, libzstd: {} };

beforeAll(async () => {
  writeFileSync(raw, content);
  const versions = await cliOk(['--version']);
  for (const name of ['libdeflate', 'libzstd'] as const) {
    const file = new RegExp(`^${name} .*\\((/.*)\\)$`, 'm').exec(versions)?.[1];
    expect(file).toBeDefined();
    const library = await compile(erring(name, file ?? ''), path(name));
    env[name] = await inFront(name, library, path(`${name} in front`));
  }
});

const convert = (options: string, ...more: string[]) => [
  ...['convert', '-c', '-f', 'raw', '-o', `cluster_size=${CLUSTER},${options}`],
  ...[...more, raw, image],
];
const zstd = (level: number) => `compression_type=zstd,compression_level=${level}`;

test('some clusters are wrong, and most are not', () => {
  expect(wrong).toBeGreaterThan(2);
  expect(wrong).toBeLessThan(10);
});

describe.each(
  sample<readonly [LibraryName, number, string, string[]]>(
    [
      ['libzstd', 16, zstd(16), []],
      ['libzstd', 19, zstd(19), ['--check-payloads', '-m', '1']],
      ['libdeflate', 9, 'compression_level=9', ['--check-payloads']],
    ],
    1,
  ),
)('%s at level %i', (name, level, options, more) => {
  test('makes a correct image, and the warning has the number of wrong clusters', async () => {
    const { status, stderr } = await cli(convert(options, '-v', ...more), { env: env[name] });
    expect(status).toBe(0);
    const count = `${name} compressed ${wrong} clusters wrongly at level ${level}`;
    const remedy = `they were compressed again correctly; update ${name} or choose another --engine`;
    expect(stderr).toMatch(new RegExp(`^qcow2c: warning: ${count}; ${remedy}$`, 'm'));
    expect(stderr).toMatch(new RegExp(`^Payloads checked: ${wrong} wrong, compressed again$`, 'm'));
    await expectGoodImage(image, raw);
  });
});

test('the image is measured with the recompressed payloads', async () => {
  const check = '--check-payloads';
  await cli(convert('compression_level=9', check), { env: env.libdeflate });
  const { size } = statSync(image);
  const args = [
    'measure',
    '-c',
    '-f',
    'raw',
    '-o',
    `cluster_size=${CLUSTER},compression_level=9`,
    check,
    raw,
  ];
  const { stdout } = await cli(args, { env: env.libdeflate });
  expect(stdout).toMatch(new RegExp(`^required size: ${size}$`, 'm'));
});

test('the image would be wrong without the check', async () => {
  const without = await cli(convert('compression_level=9'), { env: env.libdeflate });
  expect(without).toMatchObject({ status: 0, stderr: '' });
  expect(await qemuImg.difference(raw, image)).toBeDefined();
});

test.each([
  ['a level below those that may be wrong', zstd(12), 'libzstd'],
  ['a library without the defect, at its default level', 'compression_type=zlib', 'libdeflate'],
] as const)('%s is not checked', async (_, options, name) => {
  const { stderr } = await cli(convert(options, '-v'), { env: name === 'libzstd' ? env.libzstd : {} });
  expect(stderr).toContain(name);
  expect(stderr).not.toContain('Payloads checked');
});

test('the check changes nothing where nothing is wrong', async () => {
  for (const options of ['compression_type=zlib', zstd(3)]) {
    await cliOk(convert(options));
    const before = readFileSync(image);
    await cliOk(convert(options, '--check-payloads'));
    expect(readFileSync(image).equals(before)).toBe(true);
    await expectGoodImage(image, raw);
  }
});
