/** A source that changes under the conversion is noticed: the image would be of no moment in time. */
import { appendFile, open, truncate, writeFile } from 'node:fs/promises';
import { beforeEach, expect, test } from 'vitest';
import { sample } from '../stage.js';
import { startCli } from './cli.js';
import { snapshot } from './failures.js';
import { useScratch } from './scratch.js';
import { slowReads, untilProgress } from './slow-run.js';
import { randomBytes } from './source-images.js';

const path = useScratch();
const source = path('source.raw');
const MIB = 1024 * 1024;
const SIZE = 24 * MIB;
beforeEach(() => writeFile(source, randomBytes(SIZE)));

test.each(
  sample(
    [
      ['shrinks', () => truncate(source, MIB), /'.*source\.raw' became shorter|became 1048576 bytes long/],
      ['shrinks to nothing', () => truncate(source, 0), /'.*source\.raw' became shorter|became 0 bytes long/],
      ['grows', () => appendFile(source, 'more'), /'.*source\.raw' became 25165828 bytes long/],
      [
        'is written to',
        async () => {
          const file = await open(source, 'r+');
          await file.write('changed', SIZE - 100);
          await file.close();
        },
        /'.*source\.raw' was written to/,
      ],
    ] as const,
    1,
    2,
  ),
)('a source that %s during the run', async (_, change, line) => {
  const before = snapshot(path('')).filter((entry) => !entry.startsWith('source.raw '));
  const running = startCli(['convert', '-c', '--progress=json,0.1', '-f', 'raw', source, path('new.qcow2')], {
    under: slowReads(source),
  });
  await untilProgress(running);
  await change();
  const { status, stderr } = await running.finished;
  const lines = stderr
    .trimEnd()
    .split('\n')
    .filter((text) => !text.startsWith('{'));
  expect({ status, lines }).toEqual({ status: 1, lines: [expect.stringMatching(/^qcow2c: /)] });
  expect(lines[0]).toMatch(line);
  expect(snapshot(path('')).filter((entry) => !entry.startsWith('source.raw '))).toEqual(before);
});
