/** Standard output that is not read to its end, and one that cannot be written. */
import { beforeAll, expect, test } from 'vitest';
import { run } from '../oracle/run.js';
import { sample, shortened } from '../stage.js';
import { cliOk, ROOT } from './cli.js';
import { useScratch } from './scratch.js';
import { makeSparseDisk, textBytes } from './source-images.js';

const path = useScratch();
const [raw, image] = [path('disk.raw'), path('disk.qcow2')];
beforeAll(async () => {
  // One work item, which needs no thread.
  await makeSparseDisk(raw, 2_000_000, [[0, textBytes(500_000)]]);
  await cliOk(['convert', '-c', raw, image]);
});

/** Runs a command of bash with qcow2c as `$0`. */
const shell = (script: string) =>
  run('bash', ['-c', `qcow2c() { '${process.execPath}' '${ROOT}bin/qcow2c.js' "$@"; }; ${script}`]);

const ANSWERS: readonly (readonly [words: string, codeWithoutOutput: number])[] = [
  [`info --output=json ${image}`, 1],
  [`check ${image}`, 1],
  [`compare -f raw -F qcow2 ${raw} ${image}`, 2],
  [`map --output=svg ${image}`, 1],
  [`convert -c --digest ${raw} ${path('answer.qcow2')}`, 1],
  [`convert -c --output=json ${raw} ${path('answer.qcow2')}`, 1],
  [`measure -O qcow2 ${raw}`, 1],
  ['--help', 1],
  ['--version', 1],
  ['man', 1],
];

test.each(sample(ANSWERS, 3))(
  '%s: a reader that has gone is no failure, as in a pipe to head',
  async (words) => {
    const { stdout, stderr } = await shell(`qcow2c ${words} | true; echo "\${PIPESTATUS[0]}"`);
    expect({ stdout, stderr }).toEqual({ stdout: '0\n', stderr: '' });
  },
);

test.each(sample(ANSWERS, 3))('%s: an answer that cannot be written is a failure', async (words, code) => {
  expect(await shell(`qcow2c ${words} > /dev/full`)).toMatchObject({
    status: code,
    stderr: 'qcow2c: Could not write standard output: No space left on device\n',
  });
});

test.each(sample(ANSWERS, 3))('%s: so is an answer for a closed standard output', async (words, code) => {
  // By its name, as users start it: node alone would open /dev/null for it.
  const environment = `PATH="$(dirname '${process.execPath}'):$PATH"`;
  expect(await run('bash', ['-c', `${environment} '${ROOT}bin/qcow2c.js' ${words} >&-`])).toMatchObject({
    status: code,
    stderr: 'qcow2c: Could not write standard output: Bad file descriptor\n',
  });
});

test('an image is made even if its progress cannot be shown', async () => {
  const ways = [
    ['-p', '> /dev/full'],
    ['-p', '| true'],
    ['--progress=bar', '<&- >&- 2>&-'],
    ['--progress=json', '2>&1 | true'],
  ] as const;
  for (const [progress, outputs] of shortened(ways, 2)) {
    const made = path('made.qcow2');
    const { stdout } = await shell(
      `qcow2c convert ${progress} -c ${raw} ${made} ${outputs}; echo "\${PIPESTATUS[0]}"`,
    );
    expect({ outputs, stdout }).toEqual({ outputs, stdout: '0\n' });
    expect((await run('cmp', [image, made])).status).toBe(0);
    await run('rm', [made]);
  }
});
