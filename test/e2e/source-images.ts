/** Source disks for the end-to-end tests, made on the spot and the same on every run of one machine. */
import { createCipheriv } from 'node:crypto';
import { mkdir, open, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { map } from '../oracle/qemu-img.js';
import { runOk } from '../oracle/run.js';
import { TESTS_ALL } from '../stage.js';

const MIB = 1024 * 1024;
export const TIB = 1024 * 1024 * MIB;

/** `length` bytes that do not compress, the same for the same `seed`. */
export function randomBytes(length: number, seed = 0): Buffer {
  const key = Buffer.from(`qcow2c seed ${String(seed).padStart(4, '0')}`);
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length));
}

/** `length` bytes of text that compresses well and repeats nowhere. */
export function textBytes(length: number): Buffer {
  const lines: string[] = [];
  for (let size = 0, line = 0; size < length; line++) {
    lines.push(`line ${line}: the square of ${line} is ${line * line}\n`);
    size += lines[line]!.length;
  }
  return Buffer.from(lines.join('')).subarray(0, length);
}

/** `length` bytes in which zeros, text and random bytes alternate in pieces of one sector to 100 KiB. */
export function patchworkBytes(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  const choices = randomBytes(8192, 77);
  for (let at = 0, piece = 0; at < length; piece++) {
    const longest = [8, 40, 200][piece % 3]!;
    const end = Math.min(length, at + 512 * (1 + (choices[piece * 2]! % longest)));
    const kind = choices[piece * 2 + 1]! % 4;
    if (kind === 0) randomBytes(end - at, piece).copy(bytes, at);
    else if (kind === 1) bytes.fill(`piece ${piece} `, at, end);
    at = end;
  }
  return bytes;
}

/** A file with these bytes and a hole for every block of zeros. */
export async function makeHoles(path: string, bytes: Uint8Array): Promise<void> {
  const parts: [number, Uint8Array][] = [];
  for (let at = 0; at < bytes.length; at += 4096) {
    const block = bytes.subarray(at, at + 4096);
    if (block.some((byte) => byte !== 0)) parts.push([at, block]);
  }
  await makeSparseDisk(path, bytes.length, parts);
}

/** 16 MiB less 37 sectors: text, random bytes, written zeros, a patchwork of all of them, and holes between. */
export async function makeMixedDisk(path: string): Promise<void> {
  const size = 16 * MIB - 37 * 512;
  await makeSparseDisk(path, size, [
    [0, textBytes(MIB)],
    [2 * MIB, randomBytes(MIB / 2)],
    [3 * MIB, Buffer.alloc(MIB)],
    [5 * MIB, patchworkBytes(MIB + 12_345)],
    [11 * MIB + 12_345, textBytes(MIB / 2)],
    [size - 150_000, textBytes(150_000)],
  ]);
}

/** A sparse file of `size` bytes with `parts` written at their offsets. */
export async function makeSparseDisk(
  path: string,
  size: number,
  parts: readonly (readonly [offset: number, bytes: Uint8Array])[],
): Promise<void> {
  const file = await open(path, 'w');
  await file.truncate(size);
  for (const [offset, bytes] of parts) await file.write(bytes, 0, bytes.length, offset);
  await file.close();
}

/** 1 TiB with data at its start, in its middle and in its last byte. */
export async function makeTebibyteDisk(path: string): Promise<void> {
  await makeSparseDisk(path, TIB, [
    [0, textBytes(300_000)],
    [TIB / 2 + 12_345, Buffer.concat([randomBytes(100_000), textBytes(100_000)])],
    [TIB - 1, Buffer.from([0x5a])],
  ]);
}

/** Directories whose files every Linux system has, each with its part of a disk. */
const SYSTEM_FILES: readonly (readonly [directory: string, share: number])[] = [
  ['/usr/bin', 0.25],
  ['/usr/lib', 0.42],
  ['/usr/share', 0.33],
];
const LARGEST_FILE = 8 * MIB;

/** Files below `directory` in the order of their names, `bytes` in all or a little more. */
async function someFiles(directory: string, bytes: number): Promise<string[]> {
  const files: string[] = [];
  let left = bytes;
  const walk = async (from: string): Promise<void> => {
    const entries = await readdir(from, { withFileTypes: true });
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (left <= 0) return;
      const path = join(from, entry.name);
      if (entry.isDirectory()) await walk(path);
      const size = entry.isFile() ? (await stat(path)).size : Number.POSITIVE_INFINITY;
      if (size > LARGEST_FILE) continue;
      left -= size;
      files.push(path);
    }
  };
  await walk(directory);
  return files;
}

/** A real ext4 file system of 320 MiB with about `mib` MiB of this machine's programs, libraries and documents. */
export async function makeExt4Disk(path: string, mib = TESTS_ALL ? 96 : 12): Promise<void> {
  const staging = `${path}.files`;
  await mkdir(staging);
  for (const [directory, share] of SYSTEM_FILES) {
    const files = await someFiles(directory, share * mib * MIB);
    await runOk('xargs', ['-0', 'cp', '--parents', '-t', staging], { stdin: files.join('\0') });
  }
  // A file that is already compressed, as most of a disk's photographs and packages are.
  await writeFile(join(staging, 'archive'), randomBytes(8 * MIB));
  await runOk('mkfs.ext4', ['-q', '-F', '-d', staging, path, '320M']);
  await rm(staging, { recursive: true });
}

/** The ranges of `path` with data, from its file system. Offsets in bytes, `to` excluded. */
export async function dataRanges(path: string): Promise<{ from: number; to: number }[]> {
  const ranges = await map(path, 'raw');
  return ranges.filter((r) => r.data).map((r) => ({ from: r.start, to: r.start + r.length }));
}

/** Every name in the directory of `path`, sorted, to find leftovers of a conversion. */
export async function namesBeside(path: string): Promise<string[]> {
  return (await readdir(dirname(path))).sort();
}
