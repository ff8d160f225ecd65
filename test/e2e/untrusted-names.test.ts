/** Which files each command opens besides the ones it is given, whatever an image names. */
import { readFileSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Forged, forgedQcow2 } from '../image/forged-qcow2.js';
import { runOk } from '../oracle/run.js';
import { underStrace } from '../oracle/strace.js';
import { cli } from './cli.js';
import { useScratch } from './scratch.js';

const path = useScratch();
const [secret, disk, other, log] = [
  path('host', 'secret'),
  path('disk.raw'),
  path('other.raw'),
  path('trace'),
];
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

/** Runs qcow2c on the disk. @returns whether the secret was opened or looked at, and the outcome */
async function trace(
  command: string,
): Promise<{ readonly touched: boolean; readonly status: number | null; readonly stderr: string }> {
  const replaced: Readonly<Record<string, string>> = { FILE: disk, OTHER: other, OUT: out };
  const args = command.split(' ').map((word) => replaced[word] ?? word);
  const { status, stderr } = await cli(args, { under: underStrace(log, ['-e', 'trace=file']) });
  const calls = readFileSync(log, 'utf8');
  // The trace is of the files that this is about.
  expect(calls).toContain(disk);
  return { touched: calls.includes(secret), status, stderr };
}

describe.each(NAMED)('a disk that names a secret as %s', (_, forged) => {
  beforeAll(() =>
    writeFileSync(disk, Buffer.concat([forgedQcow2({ size: 65_536, ...forged }), Buffer.alloc(65_536)])),
  );

  test.each([
    'info FILE',
    'info -f qcow2 FILE',
    'info --deep FILE',
    'info --output=json -f qcow2 FILE',
    'check FILE',
    'check -f qcow2 --data FILE',
  ])('%s looks at the disk alone, whatever it names', async (command) => {
    expect((await trace(command)).touched).toBe(false);
  });

  test.each(['check -r all FILE', 'check -f qcow2 -r leaks FILE'])(
    '%s repairs the disk alone',
    async (command) => {
      const before = readFileSync(disk);
      expect((await trace(command)).touched).toBe(false);
      writeFileSync(disk, before);
    },
  );

  test.each([
    'map FILE',
    'map --output=json FILE',
    'map --output=svg FILE',
    'measure -O qcow2 FILE',
    'measure -c FILE',
    'compare FILE OTHER',
    'compare OTHER FILE',
    'convert FILE OUT',
    'convert -O raw FILE OUT',
  ])('%s refuses the name, because nobody has said that the disk is an image', async (command) => {
    const { touched, status, stderr } = await trace(command);
    expect(touched).toBe(false);
    expect(status).toBe(command.startsWith('compare') ? 2 : 1);
    expect(stderr).toMatch(
      /^qcow2c: .*looks like a qcow2 image and names the (backing|data) file '[^\n]*\n$/,
    );
  });

  test.each([
    'info -f raw FILE',
    'map -f raw FILE',
    'measure -f raw -O qcow2 FILE',
    'compare -f raw -F raw FILE OTHER',
    'check -f raw FILE',
  ])('%s takes it for the bytes it is', async (command) => {
    const { touched, stderr } = await trace(command);
    expect(touched).toBe(false);
    expect(stderr).not.toContain('names the');
  });

  test.each(['map -f qcow2 FILE', 'measure -f qcow2 -O qcow2 FILE', 'compare -f qcow2 FILE OTHER'])(
    '%s follows the name: the caller trusts the image',
    async (command) => {
      expect((await trace(command)).touched).toBe(true);
    },
  );

  test('info --backing-chain follows names of backing files only, and shows nothing of what is in them', async () => {
    const { touched, stderr } = await trace('info --backing-chain FILE');
    expect(touched).toBe('backing' in forged);
    expect(stderr).not.toContain('mat');
  });
});
