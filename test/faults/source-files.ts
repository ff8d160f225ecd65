/** The small images that the sweep converts: one of each kind, made by qemu-img. */
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { makeSparseDisk, randomBytes, textBytes } from '../e2e/source-images.js';
import { run, runOk } from '../oracle/run.js';

/** Small, for many calls on few bytes. */
const CLUSTER_SIZE = 4096;

/** Makes them in `directory`. */
export async function makeSourceFiles(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  const path = (name: string) => join(directory, name);
  const image = async (args: readonly string[]) => void (await runOk('qemu-img', args, { cwd: directory }));
  const write = async (name: string, ...commands: string[]) =>
    void (await runOk('qemu-io', [...commands.flatMap((command) => ['-c', command]), name], {
      cwd: directory,
    }));
  const created = ['-o', `cluster_size=${CLUSTER_SIZE}`];

  // Text, noise, a hole, text again, and an odd end.
  await makeSparseDisk(path('disk.raw'), 100_001, [
    [0, textBytes(30_000)],
    [32_768, randomBytes(20_000)],
    [81_920, textBytes(18_081)],
  ]);
  // It has two work items; the second has little data.
  await makeSparseDisk(path('long.raw'), 3_000_000, [
    [0, textBytes(20_000)],
    [2_500_000, randomBytes(9000)],
  ]);
  writeFileSync(path('short.raw'), textBytes(9000));
  await image(['convert', '-f', 'raw', '-O', 'qcow2', ...created, 'disk.raw', 'plain.qcow2']);
  await image(['convert', '-f', 'raw', '-O', 'qcow2', '-c', ...created, 'disk.raw', 'packed.qcow2']);
  const zstd = ['-c', '-o', `cluster_size=${CLUSTER_SIZE},compression_type=zstd`];
  await image(['convert', '-f', 'raw', '-O', 'qcow2', ...zstd, 'disk.raw', 'zstd.qcow2']);

  await image(['create', '-f', 'qcow2', ...created, '-b', 'disk.raw', '-F', 'raw', 'middle.qcow2']);
  await write('middle.qcow2', 'write -P 3 0 5000', 'write -z 40960 8192');
  await image(['create', '-f', 'qcow2', ...created, '-b', 'middle.qcow2', '-F', 'qcow2', 'top.qcow2']);
  await write('top.qcow2', 'write -P 4 60000 9000');

  const external = `cluster_size=${CLUSTER_SIZE},data_file=${path('data.raw')}`;
  await image(['convert', '-f', 'raw', '-O', 'qcow2', '-o', external, 'disk.raw', 'external.qcow2']);

  await image(['convert', '-f', 'raw', '-O', 'qcow2', ...created, 'disk.raw', 'snapshots.qcow2']);
  await image(['snapshot', '-c', 'before', 'snapshots.qcow2']);
  await write('snapshots.qcow2', 'write -P 5 0 40000');

  await image(['convert', '-f', 'raw', '-O', 'qcow2', ...created, 'disk.raw', 'bitmaps.qcow2']);
  await image(['bitmap', '--add', '-g', '4096', 'bitmaps.qcow2', 'since']);
  await write('bitmaps.qcow2', 'write -P 6 4096 9000');

  await image(['create', '-f', 'qcow2', ...created, 'empty.qcow2', '100352']);

  // The last payload is no deflate stream: this one is refused when everything before it is done.
  const corrupt = readFileSync(path('packed.qcow2'));
  const last = corrupt.length - 1000;
  corrupt.fill(0xff, last);
  writeFileSync(path('corrupt.qcow2'), corrupt);
  const made = await run('mkfifo', [path('pipe')]);
  if (made.status !== 0) throw new Error(made.stderr);
}
