// Run in a mount namespace of its own: makes images on a file system that is too small, by more and more, or that goes
// away meanwhile. Prints what came of each as JSON.
// node on-small-disk.mjs LIBRARY tmpfs|ext4 DIRECTORY SOURCE
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, openSync, readdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import koffi from 'koffi';

const [library, kind, directory, source] = process.argv.slice(2);
const { convert } = await import(library);
const target = join(directory, 'image');
const disk = `${directory}.ext4`;
const KIB = 1024;

function mount() {
  if (kind === 'tmpfs') execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'none', directory]);
  else execFileSync('mount', ['-o', 'loop', disk, directory]);
}

/** Leaves so many bytes. */
function leave(free) {
  if (kind === 'tmpfs') {
    execFileSync('mount', ['-o', `remount,size=${free}`, directory]);
    return;
  }
  rmSync(join(directory, 'filler'), { force: true });
  const { bavail, bsize } = statfsSync(directory);
  execFileSync('fallocate', ['-l', String(bavail * bsize - free), join(directory, 'filler')]);
}

/** EXT4_IOC_SHUTDOWN: from now on every write to the file system is an I/O error, as if the disk was gone. */
function shutDown() {
  const ioctl = koffi.load(null).func('int ioctl(int, unsigned long, void *)');
  const descriptor = openSync(directory, 'r');
  const failed = ioctl(descriptor, 0x8004587d, new Uint32Array([2]));
  closeSync(descriptor);
  if (failed !== 0) throw new Error('the file system cannot be shut down');
}

async function make(options) {
  let error;
  try {
    await convert({
      sources: [source],
      sourceFormat: 'raw',
      target,
      targetFormat: 'qcow2',
      threads: 1,
      ...options,
    });
  } catch (reason) {
    const { code, systemCode, file, message } = reason;
    error = { code, systemCode, file, message };
  }
  return error;
}

const WAYS = {
  zlib: { compress: true, create: { clusterSize: 4096 } },
  'zlib, buffered': { compress: true, create: { clusterSize: 4096 }, targetCache: 'writeback' },
  'plain qcow2': { create: { clusterSize: 4096 } },
  'raw, verified': { targetFormat: 'raw', verify: true },
};

const step = (kind === 'tmpfs' ? 48 : 96) * KIB;
const full = [];
mount();
for (const [way, options] of Object.entries(WAYS)) {
  for (let free = 12 * KIB; free <= 492 * KIB; free += step) {
    writeFileSync(target, 'old');
    leave(free);
    const error = await make(options);
    const names = readdirSync(directory).filter((name) => name !== 'filler' && name !== 'lost+found');
    const digest = createHash('sha256').update(readFileSync(target)).digest('hex');
    full.push({ way, free, error, names, digest });
  }
}

// The disk goes away after the first of two work items.
const gone = {};
const away = {
  unmounted: () => execFileSync('umount', ['-l', directory]),
  ...(kind === 'ext4' && { 'shut down': shutDown }),
};
for (const [how, go] of Object.entries(away)) {
  if (how === 'shut down') mount();
  rmSync(join(directory, 'filler'), { force: true });
  if (kind === 'tmpfs') leave(4096 * KIB);
  writeFileSync(target, 'old');
  let left = false;
  const onProgress = () => {
    if (!left) go();
    left = true;
  };
  gone[how] = { error: await make({ compress: true, onProgress }), names: readdirSync(directory) };
}
console.log(JSON.stringify({ full, gone }));
