import { describe, expect, it } from 'vitest';
import { type CreateOptions, resolveCreateOptions } from '../../src/qcow2/create-options.js';
import { geometry } from '../../src/qcow2/geometry.js';
import { useScratch } from '../e2e/scratch.js';
import { info } from '../oracle/qemu-img.js';
import { run, runOk } from '../oracle/run.js';

const scratch = useScratch();
const GiB = 2 ** 30;

/** The same options as qemu-img's -o takes them. */
function asText(options: CreateOptions): string {
  const { clusterSize, compat, compressionType, refcountBits, lazyRefcounts } = options;
  const pairs = {
    cluster_size: clusterSize,
    compat: compat === undefined ? undefined : { 2: '0.10', 3: '1.1' }[compat],
    compression_type: compressionType,
    refcount_bits: refcountBits,
    lazy_refcounts: lazyRefcounts === undefined ? undefined : lazyRefcounts ? 'on' : 'off',
  };
  return Object.entries(pairs)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}

describe('resolveCreateOptions', () => {
  it('chooses what qemu-img chooses when nothing is asked for', async () => {
    const parameters = resolveCreateOptions({}, GiB);
    expect(parameters).toEqual({
      version: 3,
      geometry: geometry(16, 16),
      compressionType: 'zlib',
      lazyRefcounts: false,
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

  it('takes an option that is present but undefined as left out', () => {
    const options = { clusterSize: undefined, compat: undefined, refcountBits: undefined };
    expect(resolveCreateOptions(options, GiB)).toEqual(resolveCreateOptions({}, GiB));
  });

  it('keeps what is asked for', () => {
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
    });
    expect(resolveCreateOptions({ compat: 2, refcountBits: 16 }, GiB).version).toBe(2);
  });

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
    [{ compressionType: 'lz4' as 'zstd' }, GiB],
    [{ compat: 2, clusterSize: 300, refcountBits: 7 }, GiB],
    [{ compat: 2, lazyRefcounts: true, refcountBits: 7 }, GiB],
    [{ compat: 2, refcountBits: 7, compressionType: 'zstd' }, GiB],
    [{ compat: 2, refcountBits: 8, compressionType: 'zstd' }, GiB],
    [{ clusterSize: 512 }, 128 * GiB + 512],
    [{}, 2 ** 51 + 512],
  ])('refuses %o for a disk of %i bytes in the words of qemu-img', async (options, size) => {
    const image = scratch('refused.qcow2');
    const args = ['create', '-q', '-f', 'qcow2', image, String(size)];
    const { status, stderr } = await run('qemu-img', [
      ...args,
      ...(asText(options) ? ['-o', asText(options)] : []),
    ]);
    expect(status).toBe(1);
    const [, message] = stderr.trim().split(`${image}: `);
    const code = message?.startsWith('The image size') ? 'ERR_LIMIT' : 'ERR_USAGE';
    expect(() => resolveCreateOptions(options, size)).toThrow(expect.objectContaining({ code, message }));
  });

  it.each<[CreateOptions, number]>([
    [{ clusterSize: 512 }, 128 * GiB],
    [{}, 2 ** 51],
    [{ clusterSize: 2 ** 21 }, Number.MAX_SAFE_INTEGER - 511],
    [{ clusterSize: 512 }, 0],
  ])('takes %o for the largest disk they hold, %i bytes', (options, size) => {
    expect(() => resolveCreateOptions(options, size)).not.toThrow();
  });

  it.each([
    [{ clusterSize: Number.NaN }, 'Cluster size'],
    [{ clusterSize: 65536.00000000001 }, 'Cluster size'],
    [{ clusterSize: -65536 }, 'Cluster size'],
    [{ refcountBits: 0.5 }, 'Refcount width'],
    [{ compat: 4 as 3 }, "Parameter 'version' does not accept value '4'"],
  ])('refuses %o, which only a program can ask for', (options, message) => {
    expect(() => resolveCreateOptions(options, GiB)).toThrow(
      expect.objectContaining({ code: 'ERR_USAGE', message: expect.stringContaining(message) }),
    );
  });
});
