/**
 * The valid images that corrupted ones are made from: small ones of every layout, made by qemu-img and qemu-io
 * once for each process.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeHoles, randomBytes } from '../e2e/source-images.js';
import { runOk } from '../oracle/run.js';

export interface Base {
  /** Bytes. Default 65536. */
  readonly clusterSize?: number;
  /** Default 16. */
  readonly refcountBits?: number;
  /** Default 3. */
  readonly version?: 2 | 3;
  readonly extendedL2?: boolean;
  readonly with?: 'snapshots' | 'bitmaps' | 'data file' | 'many refcount blocks';
}

/** The name of the data file that the image names, for all images of a directory the same. */
export const DATA_FILE = 'corrupt-images.data';

const made = new Map<string, Promise<Buffer>>();

/**
 * A valid image of two L2 tables and an L1 table of three entries; the disk ends inside its last cluster.
 *
 *     guest cluster 0, 1, 6  normal, and the first of the second L2 table
 *     2, 3                   compressed, in one sector
 *     4                      zero without a host cluster (version 3)
 *     5                      zero with a host cluster (version 3)
 *     8 to 10                compressed noise: payloads that cross host clusters
 *     the rest               unallocated
 *
 * With snapshots: guest cluster 0 was overwritten after the first, 6 after the second.
 */
export async function baseImage(base: Base): Promise<Buffer> {
  const key = JSON.stringify(base);
  let bytes = made.get(key);
  if (bytes === undefined) {
    bytes = make(base);
    made.set(key, bytes);
  }
  return Buffer.from(await bytes);
}

async function make(base: Base): Promise<Buffer> {
  const directory = await mkdtemp(join(tmpdir(), 'qcow2c-corrupt-base-'));
  try {
    const image = join(directory, 'base.qcow2');
    await makeIn(directory, image, base);
    return await readFile(image);
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function makeIn(cwd: string, image: string, base: Base): Promise<void> {
  const { clusterSize = 65536, refcountBits = 16, version = 3, extendedL2 = false } = base;
  const l2Entries = clusterSize / (extendedL2 ? 16 : 8);
  const size = Math.ceil(2.5 * l2Entries) * clusterSize - 512;
  const options = [
    `cluster_size=${clusterSize}`,
    `compat=${version === 2 ? '0.10' : '1.1'}`,
    ...(version === 2 ? [] : [`refcount_bits=${refcountBits}`, `extended_l2=${extendedL2 ? 'on' : 'off'}`]),
    ...(base.with === 'data file' ? [`data_file=${DATA_FILE}`] : []),
  ];
  const create = ['create', '-q', '-f', 'qcow2', '-o', options.join(','), image, `${size}`];
  await runOk('qemu-img', create, { cwd });
  if (base.with === 'bitmaps') {
    await runOk('qemu-img', ['bitmap', '--add', '-g', '512', image, 'first']);
    await runOk('qemu-img', ['bitmap', '--add', '-g', '65536', image, 'second']);
  }
  const noise = join(cwd, 'noise');
  await makeHoles(noise, Buffer.concat([randomBytes(clusterSize * 0.75), Buffer.alloc(clusterSize / 4)]));
  // qemu-io resolves the name of a data file against its directory.
  const write = (commands: readonly string[]) =>
    runOk('qemu-io', ['-f', 'qcow2', ...commands.flatMap((command) => ['-c', command]), image], { cwd });
  const at = (cluster: number, count = 1) => `${cluster * clusterSize} ${count * clusterSize}`;
  const compressed = [
    `write -c -P 2 ${at(2)}`,
    `write -c -P 3 ${at(3)}`,
    ...[8, 9, 10].map((cluster) => `write -c -s ${noise} ${at(cluster)}`),
  ];
  const zeros = [`write -P 4 ${at(5)}`, `write -z ${at(5)}`, `write -z ${at(4)}`];
  await write([
    `write -P 1 ${at(0, 2)}`,
    ...(base.with === 'data file' ? [] : compressed),
    ...(version === 2 ? [] : zeros),
    `write -P 5 ${at(6)}`,
    `write -P 6 ${at(l2Entries)}`,
  ]);
  if (base.with === 'snapshots') {
    await runOk('qemu-img', ['snapshot', '-c', 'first', image]);
    await write([`write -P 7 ${at(0)}`]);
    await runOk('qemu-img', ['snapshot', '-c', 'second', image]);
    await write([`write -P 8 ${at(6)}`]);
  }
  if (base.with === 'many refcount blocks') await write([`write -P 9 ${at(11, l2Entries - 11)}`]);
}
