/** A system call that does not return: SIGTERM ends every command all the same, and leaves nothing. */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, test, vi } from 'vitest';
import { runOk } from '../oracle/run.js';
import { sample } from '../stage.js';
import { type CliOptions, cliOk, ONE_THREAD, startCli } from './cli.js';
import { useScratch } from './scratch.js';
import { textBytes } from './source-images.js';

const path = useScratch();
const [raw, image, out] = [path('disk.raw'), path('image.qcow2'), path('out')];
const [target, library] = [path('out', 'target'), path('hanging-calls.so')];
const temporary = path('out', '.target.qcow2c.tmp');
beforeAll(async () => {
  mkdirSync(out);
  writeFileSync(raw, textBytes(6 * 2 ** 20));
  await cliOk(['convert', '-c', '-f', 'raw', raw, image]);
  const source = fileURLToPath(new URL('./hanging-calls.c', import.meta.url));
  await runOk('cc', ['-shared', '-fPIC', '-O1', '-o', library, source, '-ldl', '-lpthread']);
});

interface Hang {
  readonly calls: string;
  readonly file: string;
  /** The first call that does not return. */
  readonly from: number;
}

let marks = 0;
/** Runs qcow2c, sends SIGTERM when a call hangs, and waits for its end. */
async function terminated({ calls, file, from }: Hang, args: readonly string[], options: CliOptions = {}) {
  marks += 1;
  const mark = path(`mark ${marks}`);
  const env = {
    ...options.env,
    ...{
      LD_PRELOAD: library,
      HANG_CALLS: `,${calls},`,
      HANG_FILE: file,
      HANG_FROM: `${from}`,
      HANG_MARK: mark,
    },
  };
  const running = startCli(args, { ...options, env });
  await vi.waitFor(() => expect(existsSync(mark)).toBe(true), 20_000);
  running.child.kill('SIGTERM');
  // prompt-abort.test.ts tests how soon; here a program that waits for the call would never end.
  return running.finished;
}

const convert = ['convert', '-c', '-f', 'raw', raw, target];
const fromImage = ['convert', '-c', '-f', 'qcow2', image, target];

/** The calls, the file that they are made on, the first that does not return, the command. */
test.each(
  sample<readonly [calls: string, file: string, from: number, args: readonly string[]]>(
    [
      ['look', raw, 1, convert],
      ['look', raw, 2, convert],
      ['look', target, 1, convert],
      ['look', target, 3, convert],
      ['look', target, 4, convert],
      ['look', raw, 1, ['measure', '-c', '-f', 'raw', raw]],
      ['open', raw, 1, convert],
      ['lock', raw, 1, convert],
      ['read', raw, 1, convert],
      ['read', raw, 3, convert],
      ['read', image, 6, fromImage],
      ['read', raw, 1, ['convert', '-c', '-', target]],
      ['lock', temporary, 1, convert],
      ['write', temporary, 1, convert],
      ['truncate', temporary, 1, convert],
      ['sync', temporary, 1, convert],
      ['rename', target, 1, convert],
      ['read', temporary, 1, [...convert.slice(0, 1), '--verify', ...convert.slice(1)]],
      ['open', image, 1, ['info', image]],
      ['read', image, 6, ['info', '--deep', image]],
      ['read', image, 3, ['check', image]],
      ['read', image, 8, ['check', '--data', image]],
      ['open', raw, 1, ['compare', '-f', 'raw', raw, image]],
      ['read', raw, 1, ['compare', '-f', 'raw', raw, image]],
      ['read', image, 2, ['map', '--output=json', image]],
      ['read', raw, 1, ['measure', '-c', '-f', 'raw', raw]],
    ],
    4,
  ),
)('%s of %s, call %i: %j', async (calls, file, from, args) => {
  const under = args.includes('-') ? ['sh', '-c', `exec "$0" "$@" <'${raw}'`] : [];
  const { status, signal, stderr } = await terminated({ calls, file, from }, args, { under });
  // The signal itself ends map, and convert while it looks at its source before it loads its modules, or compares the
  // target with its standard streams: there is nothing to clean up.
  const isEarly = args[0] === 'map' || (args[0] === 'convert' && from === 1 && calls === 'look');
  expect({ status, signal }).toEqual(
    isEarly ? { status: null, signal: 'SIGTERM' } : { status: 143, signal: null },
  );
  if (!isEarly) expect(stderr).toMatch(/^qcow2c: [^\n]* stopped by SIGTERM\n$/);
  expect(readdirSync(dirname(target))).toEqual([]);
});

test('the temporary file also goes when the only thread for file operations waits', async () => {
  const hang = { calls: 'write', file: temporary, from: 1 };
  expect(await terminated(hang, convert, { env: ONE_THREAD })).toMatchObject({ status: 143 });
  expect(readdirSync(dirname(target))).toEqual([]);
});

test('where it cannot be removed either, the program ends all the same', async () => {
  const hang = { calls: 'write,unlink', file: temporary, from: 1 };
  expect(await terminated(hang, convert)).toMatchObject({ status: 143 });
  expect(readdirSync(dirname(target))).toEqual(['.target.qcow2c.tmp']);
  await cliOk(convert);
  expect(readdirSync(dirname(target))).toEqual(['target']);
  rmSync(target);
});
