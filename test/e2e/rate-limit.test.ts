/** -r: the same target of any kind, only later. The tests of the limit prove how much later. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { beforeAll, expect, test } from 'vitest';
import { cliOk } from './cli.js';
import { useScratch } from './scratch.js';
import { patchworkBytes } from './source-images.js';

const path = useScratch();
const raw = path('disk.raw');
beforeAll(() => writeFile(raw, patchworkBytes(2 * 1024 * 1024 + 512)));

test.each<[string[]]>([
  [['-O', 'raw']],
  [['-O', 'qcow2']],
  [['-O', 'qcow2', '-c', '-m', '2']],
  [['-O', 'qcow2', '-o', `data_file=${path('disk.data')}`]],
])('a high limit changes nothing with %j', async (flags) => {
  const made: Buffer[][] = [];
  for (const limit of [[], ['-r', '10G'], ['--rate-limit', '1T']]) {
    await rm(path('disk.data'), { force: true });
    await cliOk(['convert', ...limit, '-f', 'raw', ...flags, raw, path('target')]);
    const data = flags.some((flag) => flag.includes('data_file')) ? [await readFile(path('disk.data'))] : [];
    made.push([await readFile(path('target')), ...data]);
  }
  expect(made.every((files) => files.every((bytes, index) => bytes.equals(made[0]![index]!)))).toBe(true);
});
