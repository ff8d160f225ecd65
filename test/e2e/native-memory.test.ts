/**
 * The native libraries get back all memory that they allocate: from threads that have finished, and from threads that
 * were ended during their work. Libraries that count replace the system's own.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { runOk } from '../oracle/run.js';
import { sample } from '../stage.js';
import { cliOk, ROOT } from './cli.js';
import { compile, counting, inFront, type LibraryName } from './fake-libraries.js';
import { useScratch } from './scratch.js';
import { makeMixedDisk } from './source-images.js';

const path = useScratch();

/** Prints, after each step, the number of contexts allocated so far and the number not freed. */
const PROGRAM = `
  import { readFileSync } from 'node:fs';
  import { check, compare, convert } from '${pathToFileURL(join(ROOT, 'dist', 'index.js'))}';
  const [log, raw, image, copy, compressionType] = process.argv.slice(2);
  const steps = [
    () => convert({ sources: [raw], target: image, compress: true, create: { compressionType }, threads: 2 }),
    () => convert({ sources: [image], target: copy, targetFormat: 'raw', threads: 2 }),
    () => check({ image: { file: image }, data: true, threads: 2 }),
    () => compare({ images: [image, raw], threads: 2 }),
    () => {
      const end = new AbortController();
      const onProgress = ({ guestBytesDone }) => guestBytesDone > 0 && end.abort();
      const format = { targetFormat: 'qcow2', compress: true, create: { compressionType } };
      const options = { sources: [raw], target: copy, ...format, onProgress };
      return convert({ ...options, signal: end.signal });
    },
  ];
  const seen = [];
  for (const step of steps) {
    const code = await step().then(() => 'done', (error) => error.code);
    const marks = readFileSync(log, 'latin1');
    const given = marks.split('+').length - 1;
    seen.push({ code, given, held: given - (marks.split('-').length - 1) });
  }
  console.log(JSON.stringify(seen));
`;

test.each(
  sample<readonly [LibraryName, string]>(
    [
      ['libdeflate', 'zlib'],
      ['libzstd', 'zstd'],
    ],
    1,
  ),
)('%s has all its contexts back after each use of the library', async (name, type) => {
  const found = new RegExp(`^${name} .*\\((.+)\\)$`, 'm').exec(await cliOk(['--version']));
  const log = path(`${name}.log`);
  await writeFile(log, '');
  const library = await compile(counting(name, found![1]!, log), path(name));
  const env = await inFront(name, library, path(`${name} in front`));
  await makeMixedDisk(path('mixed.raw'));
  await writeFile(path('steps.mjs'), PROGRAM);
  const files = [log, path('mixed.raw'), path('image.qcow2'), path('copy')];
  const output = await runOk(process.execPath, [path('steps.mjs'), ...files, type], { env });
  const steps = JSON.parse(output) as { code: string; given: number; held: number }[];
  expect(steps.map(({ code }) => code)).toEqual(['done', 'done', 'done', 'done', 'ERR_ABORTED']);
  expect(steps.map(({ held }) => held)).toEqual([0, 0, 0, 0, 0]);
  const given = steps.map((step, index) => step.given - (steps[index - 1]?.given ?? 0));
  expect(given.map((count) => count > 0)).toEqual([true, true, true, true, true]);
});
