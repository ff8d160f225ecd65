/** What every failed run must look like from outside: one line, exit code 1, nothing changed on the disk. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { type CliOptions, cli } from './cli.js';

/** Names, inodes, sizes and times of everything below `directory`: changes when anything there does. */
export function snapshot(directory: string): string[] {
  const names = readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort();
  return names.map((name) => {
    const { ino, mode, size, mtimeNs } = statSync(join(directory, name), { bigint: true });
    return `${name} ${ino} ${mode.toString(8)} ${size} ${mtimeNs}`;
  });
}

/**
 * Runs qcow2c, which must fail: exit code 1, nothing on stdout, one line on stderr that matches `line` (the part after
 * "qcow2c: "), and `directory` unchanged.
 */
export async function expectFailure(
  directory: string,
  args: readonly string[],
  line: RegExp,
  options: CliOptions = {},
): Promise<void> {
  const before = snapshot(directory);
  const { status, signal, stdout, stderr } = await cli(args, options);
  expect({ status, signal, stdout, stderr }).toEqual({
    status: 1,
    signal: null,
    stdout: '',
    stderr: expect.stringMatching(/^qcow2c: [^\n]+\n$/),
  });
  expect(stderr.slice('qcow2c: '.length, -1)).toMatch(line);
  expect(snapshot(directory)).toEqual(before);
}
