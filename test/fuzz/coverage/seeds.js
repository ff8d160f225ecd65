// Small images of every kind, as inputs to begin with: made by qemu-img and qemu-io on disks of some clusters, and of
// each cluster only the first 512 bytes are taken (MemoryImage.folded).
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateRawSync, constants as zlib } from 'node:zlib';

const BLOCK = 512;
/** Of an input that is an image. */
const MOST_BYTES = 16384;
/** Of one that is the start of an image. */
const HEADER_BYTES = 2048;

/** Options of qemu-img create, the cluster size, and the changes to a disk of 80 clusters. */
const IMAGES = [
  { options: 'compat=0.10,cluster_size=512', cluster: 512, steps: ['data', 'snapshot', 'compressed'] },
  {
    options: 'cluster_size=512',
    cluster: 512,
    steps: ['data', 'zeros', 'compressed', 'snapshot', 'more', 'snapshot'],
  },
  { options: 'cluster_size=512', cluster: 512, steps: ['bitmap', 'data', 'bitmap'], clusters: 77 },
  { options: 'cluster_size=512', cluster: 512, steps: ['data', 'leak'] },
  { options: 'cluster_size=512,refcount_bits=1', cluster: 512, steps: ['data', 'zeros', 'discard'] },
  { options: 'cluster_size=1024,refcount_bits=64', cluster: 1024, steps: ['data', 'snapshot', 'bitmap'] },
  {
    options: 'cluster_size=4096,refcount_bits=8,lazy_refcounts=on',
    cluster: 4096,
    steps: ['data', 'compressed', 'bitmap'],
  },
  { options: 'cluster_size=4096,compression_type=zstd', cluster: 4096, steps: ['compressed', 'zeros'] },
  { options: 'cluster_size=512,data_file=data.raw', cluster: 512, steps: ['data', 'zeros', 'bitmap'] },
  {
    options: 'cluster_size=65536,data_file=data.raw,data_file_raw=on,extended_l2=on',
    cluster: 65536,
    steps: ['data', 'sub'],
  },
  {
    options: 'cluster_size=16384,extended_l2=on',
    cluster: 16384,
    steps: ['data', 'sub', 'compressed', 'zeros', 'snapshot', 'more'],
  },
  {
    options: 'cluster_size=65536,refcount_bits=2',
    cluster: 65536,
    steps: ['data', 'sub', 'snapshot'],
  },
  { options: 'cluster_size=2M', cluster: 2 ** 21, steps: ['data', 'compressed'] },
  { options: 'cluster_size=512,preallocation=metadata', cluster: 512, steps: [] },
  { options: 'cluster_size=65536', cluster: 65536, steps: [], backing: 'base.qcow2' },
  {
    options: 'cluster_size=512,encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=1500',
    cluster: 512,
    steps: [],
    secret: true,
  },
];

function makeImage(directory, index) {
  const { options, cluster, steps, clusters = 80, backing, secret } = IMAGES[index];
  const image = join(directory, `${index}.qcow2`);
  const run = (program, ...args) => execFileSync(program, args, { cwd: directory, stdio: 'ignore' });
  const io = (...commands) =>
    run('qemu-io', '-f', 'qcow2', ...commands.flatMap((command) => ['-c', command]), image);
  run(
    'qemu-img',
    'create',
    ...['-q', '-f', 'qcow2', '-o', options],
    ...(backing === undefined ? [] : ['-u', '-b', backing, '-F', 'qcow2']),
    ...(secret === true ? ['--object', 'secret,id=s,data=secret'] : []),
    ...[image, `${clusters * cluster}`],
  );
  let bitmaps = 0;
  const does = {
    data: () => io(`write -P 97 0 ${3 * cluster}`, `write -P 98 ${70 * cluster} ${2 * cluster}`),
    more: () => io(`write -P 99 ${cluster} ${cluster}`, `write -P 99 ${71 * cluster} ${cluster}`),
    zeros: () => io(`write -z ${4 * cluster} ${2 * cluster}`, `write -z ${cluster} ${cluster}`),
    discard: () => io(`discard 0 ${cluster}`),
    sub: () =>
      io(
        `write -P 100 ${9 * cluster + cluster / 4} ${cluster / 4}`,
        `write -z ${9 * cluster} ${cluster / 16}`,
      ),
    compressed: () => io(...[10, 11, 12].map((at) => `write -c -P ${at} ${at * cluster} ${cluster}`)),
    snapshot: () => run('qemu-img', 'snapshot', '-c', `snapshot ${steps.length}`, image),
    bitmap: () => {
      bitmaps += 1;
      run(
        'qemu-img',
        'bitmap',
        '--add',
        '-g',
        `${Math.max(512, cluster / 8)}`,
        '-f',
        'qcow2',
        image,
        `${bitmaps}`,
      );
      io(`write -P 5 ${6 * cluster} ${cluster}`);
    },
    // A process that ends without closing the image.
    leak: () => run('sh', '-c', `qemu-io -f qcow2 -c 'write 20k 4k' -c abort ${image} || true`),
  };
  for (const step of steps) does[step]();
  return readFileSync(image);
}

/** Offsets at the ends of what an entry and a number can hold, two of them a cluster of 512 bytes apart. */
const EDGES = [
  0x801f_ffff_ffff_fe00n,
  0x8020_0000_0000_0000n,
  0x80ff_ffff_ffff_fe00n,
  0x401f_ffff_ffff_ffffn,
  1n << 63n,
];

/** The image with these entries at the end of its first L2 table. */
function withEdges(image) {
  const copy = Buffer.from(image);
  const table = Number(copy.readBigUInt64BE(Number(copy.readBigUInt64BE(40))) & 0x00ff_ffff_ffff_fe00n);
  for (const [index, entry] of EDGES.entries()) {
    copy.writeBigUInt64BE(entry, table + BLOCK - 8 * (EDGES.length - index));
  }
  return copy;
}

function fold(image) {
  const cluster = 2 ** image.readUInt32BE(20);
  const blocks = [];
  for (let at = 0; at < image.length; at += cluster) blocks.push(image.subarray(at, at + BLOCK));
  return Buffer.concat(blocks).subarray(0, MOST_BYTES);
}

/** Payloads of clusters of 512 to 4096 bytes; the first byte is the cluster's size (payload-input.ts). */
function payloads(images) {
  const texts = [1, 2, 4, 8].map((sectors, size) => {
    const text = Buffer.alloc(sectors * BLOCK, (index) => index).map((_, index) =>
      'a cluster '.charCodeAt((index * index) % 10),
    );
    return { size, text };
  });
  const deflated = texts.flatMap(({ size, text }) =>
    [
      { level: 0 },
      { level: 9 },
      { strategy: zlib.Z_FIXED },
      { strategy: zlib.Z_HUFFMAN_ONLY },
      { strategy: zlib.Z_RLE, windowBits: 9 },
    ].map((options) => Buffer.concat([Buffer.of(size), deflateRawSync(text, options)])),
  );
  const magic = Buffer.from('28b52ffd', 'hex');
  const frames = images.flatMap((image) => {
    const at = image.indexOf(magic);
    return at < 0
      ? []
      : [0, 1, 2, 3].map((size) => Buffer.concat([Buffer.of(size), image.subarray(at, at + 128)]));
  });
  return { deflate: deflated, zstd: frames };
}

/** @returns inputs for each target by its name; targets without a name here take images */
export function makeSeeds() {
  const directory = mkdtempSync(join(tmpdir(), 'qcow2c-seeds-'));
  try {
    const images = IMAGES.map((_, index) => makeImage(directory, index));
    return {
      image: [...images, withEdges(images[1])].map(fold),
      header: images.map((image) => image.subarray(0, HEADER_BYTES)),
      ...payloads(images),
    };
  } finally {
    rmSync(directory, { recursive: true });
  }
}
