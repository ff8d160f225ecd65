import { dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type CreateOptions, resolveCreateOptions } from '../../src/qcow2/create-options.js';
import { geometry } from '../../src/qcow2/geometry.js';
import { useScratch } from '../e2e/scratch.js';
import { check, info } from '../oracle/qemu-img.js';
import { run, runOk } from '../oracle/run.js';

const scratch = useScratch();
const MiB = 2 ** 20;
const GiB = 2 ** 30;

/** The same options for qemu-img's -o. */
function asText(options: CreateOptions): string {
  const { clusterSize, compat, compressionType, refcountBits, lazyRefcounts } = options;
  const onOff = (value: boolean | undefined) => (value === undefined ? undefined : value ? 'on' : 'off');
  const pairs = {
    cluster_size: clusterSize,
    compat: compat === undefined ? undefined : { 2: '0.10', 3: '1.1' }[compat],
    compression_type: compressionType,
    refcount_bits: refcountBits,
    lazy_refcounts: onOff(lazyRefcounts),
    extended_l2: onOff(options.extendedL2),
    backing_file: options.backingFile,
    backing_fmt: options.backingFormat,
    data_file: options.dataFile,
    data_file_raw: onOff(options.dataFileRaw),
    preallocation: options.preallocation,
  };
  return Object.entries(pairs)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}

/** `qemu-img create`, beside the image, without looking for the backing file. */
function qemuCreate(image: string, options: CreateOptions, size: number) {
  const text = asText(options);
  const args = ['create', '-q', '-u', '-f', 'qcow2', ...(text ? ['-o', text] : []), image, String(size)];
  return run('qemu-img', args, { cwd: dirname(image) });
}

describe('resolveCreateOptions', () => {
  it('has the defaults of qemu-img', async () => {
    const parameters = resolveCreateOptions({}, GiB);
    expect(parameters).toEqual({
      version: 3,
      geometry: geometry(16, 16),
      compressionType: 'zlib',
      lazyRefcounts: false,
      preallocation: 'off',
    });
    const image = scratch('default.qcow2');
    await runOk('qemu-img', ['create', '-q', '-f', 'qcow2', image, String(GiB)]);
    expect(await info(image)).toMatchObject({
      clusterSize: parameters.geometry.clusterSize,
      compat: '1.1',
      compressionType: parameters.compressionType,
      refcountBits: parameters.geometry.refcountBits,
      lazyRefcounts: parameters.lazyRefcounts,
    });
  });

  it('treats an undefined option as absent', () => {
    const options = { clusterSize: undefined, compat: undefined, refcountBits: undefined };
    expect(resolveCreateOptions(options, GiB)).toEqual(resolveCreateOptions({}, GiB));
  });

  it('keeps the given options', () => {
    const options: CreateOptions = {
      clusterSize: 512,
      compat: 3,
      compressionType: 'zstd',
      refcountBits: 1,
      lazyRefcounts: true,
    };
    expect(resolveCreateOptions(options, GiB)).toEqual({
      version: 3,
      geometry: geometry(9, 1),
      compressionType: 'zstd',
      lazyRefcounts: true,
      preallocation: 'off',
    });
    expect(
      resolveCreateOptions(
        { extendedL2: true, backingFile: 'b.raw', backingFormat: 'raw', preallocation: 'full' },
        GiB,
      ),
    ).toMatchObject({
      geometry: geometry(16, 16, true),
      backing: { file: 'b.raw', format: 'raw' },
      dataFile: undefined,
      preallocation: 'full',
    });
    expect(resolveCreateOptions({ dataFile: 'x.data' }, GiB)).toMatchObject({
      dataFile: { name: 'x.data', raw: false },
      preallocation: 'off',
    });
    expect(resolveCreateOptions({ compat: 2, refcountBits: 16 }, GiB).version).toBe(2);
  });

  it('maps the whole of a raw data file, as qemu-img does', async () => {
    const options: CreateOptions = { dataFile: scratch('x.data'), dataFileRaw: true };
    expect(resolveCreateOptions(options, GiB).preallocation).toBe('metadata');
    expect(resolveCreateOptions({ ...options, preallocation: 'falloc' }, GiB).preallocation).toBe('falloc');
    const image = scratch('raw-data.qcow2');
    await qemuCreate(image, options, MiB);
    expect((await check(image)).allocatedClusters).toBe(16);
  });

  it('accepts a disk of unknown size', () => {
    expect(resolveCreateOptions({ clusterSize: 512 }, undefined).geometry.clusterSize).toBe(512);
  });

  const backed = { backingFile: 'b.raw', backingFormat: 'raw' } as const;

  it.each<[CreateOptions, number]>([
    [{ clusterSize: 0 }, GiB],
    [{ clusterSize: 256 }, GiB],
    [{ clusterSize: 3000 }, GiB],
    [{ clusterSize: 2 ** 22 }, GiB],
    [{ refcountBits: 0 }, GiB],
    [{ refcountBits: 3 }, GiB],
    [{ refcountBits: 128 }, GiB],
    [{ compat: 2, refcountBits: 8 }, GiB],
    [{ compat: 2, lazyRefcounts: true }, GiB],
    [{ compat: 2, compressionType: 'zstd' }, GiB],
    [{ compat: 2, clusterSize: 300, refcountBits: 7 }, GiB],
    [{ compat: 2, lazyRefcounts: true, refcountBits: 7 }, GiB],
    [{ compat: 2, refcountBits: 7, compressionType: 'zstd' }, GiB],
    [{ compat: 2, refcountBits: 8, compressionType: 'zstd' }, GiB],
    [{ clusterSize: 512 }, 128 * GiB + 512],
    [{}, 2 ** 51 + 512],
    [{ extendedL2: true }, 2 ** 50 + 512],
    [{ extendedL2: true, compat: 2 }, GiB],
    [{ extendedL2: true, compat: 2, clusterSize: 300 }, GiB],
    [{ extendedL2: true, clusterSize: 8192 }, GiB],
    [{ extendedL2: true, clusterSize: 300 }, GiB],
    [{ ...backed, preallocation: 'metadata' }, GiB],
    [{ ...backed, preallocation: 'metadata', clusterSize: 300 }, GiB],
    [{ ...backed, preallocation: 'full', compat: 2, lazyRefcounts: true }, GiB],
    [{ backingFormat: 'raw' }, GiB],
    [{ backingFormat: 'raw', compat: 2, lazyRefcounts: true }, GiB],
    [{ ...backed, backingFile: '' }, GiB],
    [{ ...backed, backingFile: '', clusterSize: 300 }, GiB],
    [{ ...backed, backingFile: 'n'.repeat(377), clusterSize: 512 }, GiB],
    [{ ...backed, backingFile: 'n'.repeat(417), clusterSize: 512, compat: 2 }, GiB],
    [{ ...backed, backingFile: 'ü'.repeat(512) }, GiB],
    [{ ...backed, backingFile: 'n'.repeat(1024), clusterSize: 512 }, GiB],
    [{ dataFileRaw: true }, GiB],
    [{ dataFileRaw: true, ...backed }, GiB],
    [{ dataFileRaw: true, compat: 2 }, GiB],
    [{ dataFile: 'x.data', dataFileRaw: true, ...backed }, GiB],
    [{ dataFile: 'x.data', dataFileRaw: true, ...backed, compat: 2 }, GiB],
    [{ dataFile: 'x.data', compat: 2 }, GiB],
    [{ dataFile: 'x.data', compat: 2, compressionType: 'zstd' }, GiB],
    [{ dataFile: `${'./'.repeat(200)}x`, clusterSize: 512 }, GiB],
    [{ dataFile: `${'./'.repeat(200)}x`, clusterSize: 512, ...backed }, 128 * GiB + 512],
    [{ dataFile: `${'./'.repeat(185)}x`, clusterSize: 512, ...backed }, GiB],
    [{ dataFile: `${'./'.repeat(185)}x`, clusterSize: 512, ...backed }, 128 * GiB + 512],
    [{ ...backed, backingFile: 'n'.repeat(377), clusterSize: 512 }, 128 * GiB + 512],
  ])('refuses with the message of qemu-img, case %#', async (options, size) => {
    const image = scratch('refused.qcow2');
    const { status, stderr } = await qemuCreate(image, options, size);
    expect(status).toBe(1);
    const [, message] = stderr.trim().split(`${image}: `);
    const code = /^The image size|^Could not/.test(message ?? '') ? 'ERR_LIMIT' : 'ERR_USAGE';
    expect(() => resolveCreateOptions(options, size)).toThrow(expect.objectContaining({ code, message }));
  });

  it.each<[CreateOptions, number]>([
    [{ clusterSize: 512 }, 128 * GiB],
    [{}, 2 ** 51],
    [{ clusterSize: 2 ** 21 }, Number.MAX_SAFE_INTEGER - 511],
    [{ clusterSize: 512 }, 0],
    [{ extendedL2: true }, 2 ** 50],
  ])('accepts %o for disks of at most %i bytes', (options, size) => {
    expect(() => resolveCreateOptions(options, size)).not.toThrow();
  });

  it.each([
    [{ clusterSize: Number.NaN }, 'Cluster size'],
    [{ clusterSize: 65536.00000000001 }, 'Cluster size'],
    [{ clusterSize: -65536 }, 'Cluster size'],
    [{ refcountBits: 0.5 }, 'Refcount width'],
    [{ backingFile: 'b.raw' }, 'Use of backing file requires explicit backing format'],
  ])('refuses %o, which only a library caller can give', (options, message) => {
    expect(() => resolveCreateOptions(options, GiB)).toThrow(
      expect.objectContaining({ code: 'ERR_USAGE', message: expect.stringContaining(message) }),
    );
  });
});
