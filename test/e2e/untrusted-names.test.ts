/** The files that each command opens besides its arguments, for any names in an image. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Forged, forgedQcow2 } from '../image/forged-qcow2.js';
import { run, runOk } from '../oracle/run.js';
import { underStrace } from '../oracle/strace.js';
import { useScratch } from './scratch.js';

const MANY_RUNS = fileURLToPath(new URL('many-runs.mjs', import.meta.url));

const path = useScratch();
const [secret, disk, other, log] = [
  path('host', 'secret'),
  path('disk.raw'),
  path('other.raw'),
  path('trace'),
];
const [original, lines, outcomes] = [path('original'), path('lines'), path('outcomes')];
const out = path('out.img');

beforeAll(async () => {
  await runOk('mkdir', [path('host')]);
  writeFileSync(secret, 'the key under the mat\n'.repeat(100));
  writeFileSync(other, Buffer.alloc(4096));
});

const NAMED: readonly (readonly [string, Forged])[] = [
  ['its backing file', { backing: secret }],
  ['its backing file, and its format', { backing: secret, backingFormat: 'raw' }],
  ['its data file', { dataFile: secret }],
];

const ALONE = [
  'info FILE',
  'info -f qcow2 FILE',
  'info --deep FILE',
  'info --output=json -f qcow2 FILE',
  'check FILE',
  'check -f qcow2 --data FILE',
  'check -r all FILE',
  'check -f qcow2 -r leaks FILE',
];
const REFUSING = [
  'map FILE',
  'map --output=json FILE',
  'map --output=svg FILE',
  'measure -O qcow2 FILE',
  'measure -c FILE',
  'compare FILE OTHER',
  'compare OTHER FILE',
  'convert FILE OUT',
  'convert -O raw FILE OUT',
];
const AS_RAW = [
  'info -f raw FILE',
  'map -f raw FILE',
  'measure -f raw -O qcow2 FILE',
  'compare -f raw -F raw FILE OTHER',
  'check -f raw FILE',
];
const FOLLOWING = ['map -f qcow2 FILE', 'measure -f qcow2 -O qcow2 FILE', 'compare -f qcow2 FILE OTHER'];
const CHAIN = 'info --backing-chain FILE';

interface Traced {
  /** Whether the secret was opened or looked at. */
  readonly touched: boolean;
  readonly status: number;
  readonly stderr: string;
}

/** Runs all commands on the disk, in one process under strace. */
async function traceAll(): Promise<ReadonlyMap<string, Traced>> {
  const commands = [...ALONE, ...REFUSING, ...AS_RAW, ...FOLLOWING, CHAIN];
  const names: Readonly<Record<string, string>> = { FILE: disk, OTHER: other, OUT: out };
  const words = commands.map((command) => command.split(' ').map((word) => names[word] ?? word));
  writeFileSync(lines, JSON.stringify(words));
  const [strace = '', ...args] = underStrace(log, ['-e', 'trace=file']);
  const program = [process.execPath, MANY_RUNS, lines, outcomes, original, disk];
  expect(await run(strace, [...args, ...program])).toMatchObject({ status: 0, stderr: '' });
  const found = JSON.parse(readFileSync(outcomes, 'utf8')) as { status: number; stderr: string }[];
  const traces = readFileSync(log, 'utf8')
    .split(/^.*"\/run \d+\/".*$/m)
    .slice(1);
  expect([found.length, traces.length]).toEqual([commands.length, commands.length]);
  return new Map(
    commands.map((command, index) => {
      const calls = traces[index]!;
      // The trace is of the files that this is about.
      expect(calls, command).toContain(disk);
      return [command, { ...found[index]!, touched: calls.includes(secret) }];
    }),
  );
}

describe.each(NAMED)('a disk that names a secret as %s', (_, forged) => {
  let traced: ReadonlyMap<string, Traced>;
  beforeAll(async () => {
    writeFileSync(original, Buffer.concat([forgedQcow2({ size: 65_536, ...forged }), Buffer.alloc(65_536)]));
    traced = await traceAll();
  });
  const of = (command: string) => traced.get(command)!;

  test.each(ALONE)('%s opens only the disk, for any names in it', (command) => {
    expect(of(command).touched).toBe(false);
  });

  test.each(REFUSING)('%s refuses the name, because the format of the disk was not given', (command) => {
    const { touched, status, stderr } = of(command);
    expect(touched).toBe(false);
    expect(status).toBe(command.startsWith('compare') ? 2 : 1);
    expect(stderr).toMatch(
      /^qcow2c: .*looks like a qcow2 image and names the (backing|data) file '[^\n]*\n$/,
    );
  });

  test.each(AS_RAW)('%s reads the disk as raw bytes', (command) => {
    const { touched, stderr } = of(command);
    expect(touched).toBe(false);
    expect(stderr).not.toContain('names the');
  });

  test.each(FOLLOWING)('%s follows the name: the caller trusts the image', (command) => {
    expect(of(command).touched).toBe(true);
  });

  test('info --backing-chain follows names of backing files only, and shows nothing of their contents', () => {
    const { touched, stderr } = of(CHAIN);
    expect(touched).toBe('backing' in forged);
    expect(stderr).not.toContain('mat');
  });
});
