/** NBD exports as sources: every command reads them, and the result is that of a file with the same content. */
import { randomBytes } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { type NbdServer, whileNbdkit, whileQemuNbd } from '../oracle/nbd-server.js';
import { runOk } from '../oracle/run.js';
import { cli } from './cli.js';
import { useScratch } from './scratch.js';

const scratch = useScratch();
const disk = scratch('disk.raw');
const SIZE = 16 * 1024 * 1024;

/** Data at both ends of a sparse disk, and in the middle at offsets that are no multiples of a cluster. */
beforeAll(async () => {
  const file = await open(disk, 'w');
  await file.truncate(SIZE);
  await file.write(Buffer.alloc(70_000, 'start'), 0, 70_000, 0);
  await file.write(randomBytes(1_000_000), 0, 1_000_000, 3_000_000);
  await file.write(Buffer.alloc(5000, 'middle'), 0, 5000, 10_000_001);
  await file.write(Buffer.from('the end'), 0, 7, SIZE - 7);
  await file.close();
});

/** @returns what the command printed */
async function succeeds(...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await cli(args);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return stdout;
}

/** Converts the export and the file by the same options, and expects the same bytes. */
async function sameAsFile({ uri }: NbdServer, name: string, ...options: string[]): Promise<void> {
  const [one, other] = [scratch(`${name}-nbd`), scratch(`${name}-file`)];
  await succeeds('convert', ...options, uri('disk'), one);
  await succeeds('convert', ...options, disk, other);
  expect((await readFile(one)).equals(await readFile(other)), name).toBe(true);
}

const QEMU_NBD = ['-r', '-e', '4', '-x', 'disk', '-f', 'raw', disk];

describe('a raw disk from qemu-nbd', () => {
  test('becomes the same image as the file does', async () => {
    await whileQemuNbd(scratch('s'), QEMU_NBD, async (server) => {
      await sameAsFile(server, 'zlib', '-c');
      await sameAsFile(server, 'zstd', '-c', '-o', 'compression_type=zstd');
      await sameAsFile(server, 'raw', '-O', 'raw');
      await sameAsFile(server, 'recompressed', '-c', '-m', '1', '-o', 'cluster_size=2M');
      const [joined, copied] = [scratch('joined'), scratch('copied')];
      await succeeds('convert', '-c', server.uri('disk'), disk, server.uri('disk'), joined);
      await succeeds('convert', '-c', disk, disk, disk, copied);
      expect((await readFile(joined)).equals(await readFile(copied))).toBe(true);
      // Read twice, into a pipe.
      const [pipe, image] = [scratch('pipe'), scratch('piped.qcow2')];
      await runOk('mkfifo', [pipe]);
      const reading = runOk('cp', ['--copy-contents', pipe, image]);
      await succeeds('convert', '-c', server.uri('disk'), pipe);
      await reading;
      expect((await readFile(image)).equals(await readFile(scratch('zlib-nbd')))).toBe(true);
      await succeeds('convert', '-c', '--verify', server.uri('disk'), scratch('verified.qcow2'));
      expect(await succeeds('compare', server.uri('disk'), disk)).toBe('Images are identical.\n');
    });
  });
});

test('a server without block status is read in full, and its zeros are dropped', async () => {
  await whileNbdkit(scratch('s'), ['--no-sr', '-r', 'file', disk], async (server) => {
    expect(JSON.parse(await succeeds('map', '--output=json', server.uri('disk')))).toMatchObject([
      { start: 0, length: SIZE, data: true, zero: false },
    ]);
    await sameAsFile(server, 'no-status', '-c');
    expect(
      await runOk('qemu-img', ['compare', '-f', 'raw', '-F', 'qcow2', disk, scratch('no-status-nbd')]),
    ).toContain('identical');
  });
});
