import { EventEmitter } from 'node:events';
import { expect, test } from 'vitest';
import { checksumCommand } from '../../../src/cli/checksum/command.js';
import type { ChecksumRequest } from '../../../src/cli/checksum/request.js';
import { parseCommandLine } from '../../../src/cli/command-line.js';
import { RecordedOutput } from '../recorded-output.js';

const DIGEST = 'a'.repeat(64);
const requestOf = (...words: string[]) => parseCommandLine(['checksum', ...words]) as ChecksumRequest;

test.each([
  [undefined, 'a\x1b[2Jb'],
  [80, 'a\\x1b[2Jb'],
])('a name is printed as it is, but visibly on a terminal (%s columns)', async (columns, name) => {
  const [stdout, stderr] = [new RecordedOutput(columns), new RecordedOutput()];
  const checksum = async () => ({ digest: DIGEST, virtualSize: 0, format: 'raw' as const });
  const io = { stdout, stderr, process: new EventEmitter(), now: () => 0, checksum };
  expect(await checksumCommand(requestOf('a\x1b[2Jb'), io)).toBe(0);
  expect(stdout.text).toBe(`${DIGEST}  ${name}\n`);
});

test.each([
  [[], 'Expecting one or more image file names'],
  [['--strict', 'a'], '--strict requires --check'],
  [['--ignore-missing', 'a'], '--ignore-missing requires --check'],
  [['-f', 'vmdk', 'a'], "Format 'vmdk' is not supported"],
  [['-T', 'fast', 'a'], 'Invalid source cache option: fast'],
  [['-m', '0', 'a'], "'0'"],
])('checksum %j is refused before anything is read', (words, message) => {
  expect(() => requestOf(...words)).toThrow(message);
});
