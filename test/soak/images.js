// Makes the small images that the soak converts, with qemu-img and qemu-io: one of each kind of source, and damaged
// ones.
import { execFileSync } from 'node:child_process';
import { createCipheriv } from 'node:crypto';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const CLUSTER = 65_536;
const CLUSTERS = 48;
/** The offset of l1_table_offset in the header. */
const L1_TABLE_OFFSET_AT = 40;
const OFFSET_BITS = 0x00ff_ffff_ffff_fe00n;
/** The host offset in a compressed cluster descriptor, with clusters of 64 KiB. */
const PAYLOAD_OFFSET_BITS = (1n << 54n) - 1n;

/** @param {string} name @param {...string} args */
const run = (name, ...args) => void execFileSync(name, args, { stdio: ['ignore', 'ignore', 'inherit'] });

/** The disk, two work items long: text, random bytes and zeros. */
function content() {
  const noise = createCipheriv('aes-128-ctr', Buffer.alloc(16, 7), Buffer.alloc(16));
  const disk = Buffer.alloc(CLUSTERS * CLUSTER);
  for (let at = 0; at < disk.length; at += CLUSTER) {
    const cluster = disk.subarray(at, at + CLUSTER);
    const kind = (at / CLUSTER) % 4;
    if (kind < 2) cluster.fill(`cluster at ${at}, which says the same again and again\n`);
    else if (kind === 2) noise.update(Buffer.alloc(CLUSTER / 2)).copy(cluster);
  }
  return disk;
}

/**
 * @param {string} directory an existing, empty one
 * @returns the images' paths
 */
export function makeImages(directory) {
  const path = (/** @type {string} */ name) => join(directory, name);
  const images = {
    raw: path('disk.raw'),
    plain: path('plain.qcow2'),
    zlib: path('zlib.qcow2'),
    zstd: path('zstd.qcow2'),
    base: path('base.qcow2'),
    middle: path('middle.qcow2'),
    top: path('top.qcow2'),
    withDataFile: path('data-file.qcow2'),
    bitmaps: path('bitmaps.qcow2'),
    broken: path('broken.qcow2'),
    missing: path('missing.raw'),
  };
  writeFileSync(images.raw, content());
  const convert = (/** @type {string} */ image, /** @type {string[]} */ ...options) =>
    run('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', ...options, images.raw, image);
  convert(images.plain);
  convert(images.zlib, '-c');
  convert(images.zstd, '-c', '-o', 'compression_type=zstd');
  convert(images.base, '-c');
  convert(images.withDataFile, '-o', `data_file=${path('data-file.data')}`);
  for (const [image, backing] of [
    [images.middle, images.base],
    [images.top, images.middle],
  ]) {
    run('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', backing, '-F', 'qcow2', image);
    run('qemu-io', '-c', `write -P 0x5a ${image === images.top ? '0 64k' : '1M 64k'}`, image);
  }
  convert(images.bitmaps);
  run('qemu-img', 'bitmap', '--add', '-g', '65536', images.bitmaps, 'changed');
  run('qemu-io', '-c', 'write -P 0xa5 128k 64k', images.bitmaps);
  copyFileSync(images.zlib, images.broken);
  breakPayload(images.broken);
  return images;
}

/** Writes a block type that deflate does not have at the start of the first payload. @param {string} image */
function breakPayload(image) {
  const bytes = readFileSync(image);
  const offsetOf = (/** @type {number} */ at) => Number(bytes.readBigUInt64BE(at) & OFFSET_BITS);
  // The first entry of the first L2 table; for the layout, see the specification, "Cluster mapping".
  const entry = bytes.readBigUInt64BE(offsetOf(offsetOf(L1_TABLE_OFFSET_AT)));
  const payload = Number(entry & PAYLOAD_OFFSET_BITS);
  bytes.fill(0xff, payload, payload + 16);
  writeFileSync(image, bytes);
}
