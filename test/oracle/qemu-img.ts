/**
 * qemu-img as the judge of images: the verdict of the reference implementation as plain values.
 */
import { run, runOk } from './run.js';

export type Format = 'raw' | 'qcow2';

/** What `qemu-img check` found; fields it leaves out of its JSON are zero. */
export interface CheckResult {
  readonly corruptions: number;
  readonly leaks: number;
  readonly checkErrors: number;
  readonly totalClusters: number;
  readonly allocatedClusters: number;
  readonly compressedClusters: number;
  /** The end of the used part of the image's file, in bytes. */
  readonly imageEndOffset: number;
}

/**
 * `qemu-img check` on a qcow2 image. Findings are returned, not thrown.
 * @throws when qemu-img cannot open the image at all
 */
export async function check(image: string): Promise<CheckResult> {
  const { stdout, stderr } = await run('qemu-img', ['check', '-f', 'qcow2', '--output=json', image]);
  if (!stdout.trimStart().startsWith('{')) throw new Error(`qemu-img check ${image}: ${stdout}${stderr}`);
  const found = JSON.parse(stdout) as Record<string, number | undefined>;
  return {
    corruptions: found['corruptions'] ?? 0,
    leaks: found['leaks'] ?? 0,
    checkErrors: found['check-errors'] ?? 0,
    totalClusters: found['total-clusters'] ?? 0,
    allocatedClusters: found['allocated-clusters'] ?? 0,
    compressedClusters: found['compressed-clusters'] ?? 0,
    imageEndOffset: found['image-end-offset'] ?? 0,
  };
}

/**
 * `qemu-img compare` of a raw image with a qcow2 image.
 * @returns undefined if the disks have the same bytes and size; otherwise qemu-img's words
 */
export async function difference(raw: string, qcow2: string): Promise<string | undefined> {
  const args = ['compare', '-f', 'raw', '-F', 'qcow2', raw, qcow2];
  const { status, stdout, stderr } = await run('qemu-img', args);
  const words = `${stdout}${stderr}`.trim();
  return status === 0 && words === 'Images are identical.' ? undefined : `exit code ${status}: ${words}`;
}

/** The part of `qemu-img info` that the tests look at. */
export interface ImageInfo {
  /** Bytes. */
  readonly virtualSize: number;
  /** Bytes. */
  readonly clusterSize: number;
  readonly compat: '0.10' | '1.1';
  readonly compressionType: 'zlib' | 'zstd';
  readonly refcountBits: number;
  readonly lazyRefcounts: boolean;
}

/** `qemu-img info` of a qcow2 image. A version 2 image has no fields of version 3: they get its fixed values. */
export async function info(image: string): Promise<ImageInfo> {
  const args = ['info', '-f', 'qcow2', '--output=json', image];
  const found = JSON.parse(await runOk('qemu-img', args)) as {
    'virtual-size': number;
    'cluster-size': number;
    'format-specific': { data: Record<string, unknown> };
  };
  const { data } = found['format-specific'];
  return {
    virtualSize: found['virtual-size'],
    clusterSize: found['cluster-size'],
    compat: data['compat'] as ImageInfo['compat'],
    compressionType: (data['compression-type'] ?? 'zlib') as ImageInfo['compressionType'],
    refcountBits: (data['refcount-bits'] ?? 16) as number,
    lazyRefcounts: (data['lazy-refcounts'] ?? false) as boolean,
  };
}

/** One run of `qemu-img map`: guest bytes that are alike. */
export interface MappedRange {
  /** Guest bytes. */
  readonly start: number;
  readonly length: number;
  /** 0: the image itself holds it, 1: its backing file, and so on. */
  readonly depth: number;
  /** Some image of the chain defines this range. */
  readonly present: boolean;
  readonly zero: boolean;
  readonly data: boolean;
}

/** `qemu-img map` of an image: its ranges from the first guest byte to the last. */
export async function map(image: string, format: Format): Promise<MappedRange[]> {
  return JSON.parse(await runOk('qemu-img', ['map', '-f', format, '--output=json', image])) as MappedRange[];
}

/** `qemu-img convert` from raw to qcow2, for comparing sizes and layouts; `args` before the file names. */
export async function convert(args: readonly string[], sources: readonly string[], target: string) {
  await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', ...args, ...sources, target]);
}

/** `qemu-img create` of a qcow2 image; `size` in bytes. */
export async function create(image: string, size: number, options: readonly string[] = []) {
  await runOk('qemu-img', ['create', '-q', '-f', 'qcow2', ...options, image, String(size)]);
}
