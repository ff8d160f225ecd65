import { EventEmitter } from 'node:events';
import { describe, expect, test } from 'vitest';
import { infoCommand } from '../../../src/cli/info/command.js';
import { type InfoWords, readInfoWords } from '../../../src/cli/info/request.js';
import { abortedError } from '../../../src/errors.js';
import type { ImageInfo, ImageInfoOptions, Qcow2Info } from '../../../src/info/image-info.js';
import { RecordedOutput } from '../recorded-output.js';

const QCOW2: Qcow2Info = {
  version: 3,
  clusterSize: 65536,
  compressionType: 'zlib',
  refcountBits: 16,
  lazyRefcounts: false,
  dirty: false,
  corrupt: false,
  extendedL2: false,
  encryption: undefined,
  backing: undefined,
  dataFile: undefined,
  bitmaps: [],
  staleBitmaps: false,
  snapshots: [],
  deep: undefined,
};
const IMAGE: ImageInfo = {
  file: 'x.qcow2',
  format: 'qcow2',
  virtualSize: 2 ** 30,
  fileSize: 197120,
  diskSize: 200704,
  isDevice: false,
  nbd: undefined,
  qcow2: QCOW2,
};
const withQcow2 = (more: Partial<Qcow2Info>): ImageInfo => ({ ...IMAGE, qcow2: { ...QCOW2, ...more } });

const DEEP = {
  clusters: { compressed: 7, normal: 2, zero: 1, unallocated: 6 },
  examined: 9,
  broken: 1,
  facts: {
    compressedGuestBytes: 9 * 65536,
    payloadBytes: 200_000,
    hostClusters: 4,
    wastedBytes: 62_144,
    window: 32768,
    checksums: 0,
  },
};

async function printed(
  infos: readonly ImageInfo[],
  words: InfoWords = {},
  library: (options: ImageInfoOptions) => Promise<void> = async () => {},
) {
  const [stdout, stderr] = [new RecordedOutput(), new RecordedOutput()];
  const process = new EventEmitter();
  const imageInfo = async (options: ImageInfoOptions) => {
    await library(options);
    return [...infos];
  };
  const io = { stdout, stderr, process, now: () => 0, imageInfo };
  const exitCode = await infoCommand(readInfoWords(['x.qcow2'], words), io);
  return { exitCode, stdout: stdout.text, stderr: stderr.text, process };
}

describe('info', () => {
  test('prints lines for human readers', async () => {
    expect(await printed([IMAGE])).toMatchObject({
      exitCode: 0,
      stdout: [
        'image: x.qcow2',
        'file format: qcow2',
        'virtual size: 1 GiB (1073741824 bytes)',
        'disk size: 196 KiB',
        'cluster_size: 65536',
        'Format specific information:',
        '    compat: 1.1',
        '    compression type: zlib',
        '    lazy refcounts: false',
        '    refcount bits: 16',
        '    corrupt: false',
        '    extended l2: false',
        '',
      ].join('\n'),
      stderr: '',
    });
  });

  test('prints an empty line between the images of a chain, and a list of them as JSON', async () => {
    const { stdout } = await printed([IMAGE, IMAGE], { backingChain: true });
    expect(stdout.match(/^image: x\.qcow2$/gm)).toHaveLength(2);
    expect(stdout).toContain('    extended l2: false\n\nimage: x.qcow2\n');
    const json = await printed([IMAGE, IMAGE], { backingChain: true, output: 'json' });
    expect(JSON.parse(json.stdout)).toMatchObject([{ filename: 'x.qcow2' }, { filename: 'x.qcow2' }]);
    const one = await printed([IMAGE], { output: 'json' });
    expect(JSON.parse(one.stdout)).toMatchObject({ filename: 'x.qcow2' });
  });

  test('prints a table of the snapshots, with columns as wide as in qemu-img', async () => {
    const first = {
      id: '1',
      name: 'before the upgrade, long',
      dateSeconds: 0,
      dateNanoseconds: 0,
      vmClock: 45_296_999_999_999n,
      vmStateSize: 3n * 2n ** 20n,
      diskSize: undefined,
      icount: undefined,
    };
    // Names are padded by their bytes.
    const second = {
      ...first,
      id: '12',
      name: 'ü',
      vmClock: 3_600_000n * 10n ** 9n,
      vmStateSize: 0n,
      icount: 2n ** 64n - 2n,
    };
    const { stdout } = await printed([withQcow2({ snapshots: [first, second] })]);
    const date = stdout.match(/19[67]\d-\d\d-\d\d \d\d:\d\d:\d\d/)?.[0];
    expect(stdout.slice(stdout.indexOf('Snapshot'), stdout.indexOf('Format'))).toBe(
      [
        'Snapshot list:',
        'ID        TAG               VM SIZE                DATE     VM CLOCK     ICOUNT',
        `1         before the upgrade, long    3 MiB ${date} 12:34:56.999           `,
        `12        ü                    0 B ${date}1000:00:00.000         -2`,
        '',
      ].join('\n'),
    );
  });

  test('shows the result of --deep in both outputs', async () => {
    const { stdout } = await printed([withQcow2({ deep: DEEP })], { deep: true });
    expect(stdout.slice(stdout.indexOf('Deep'))).toBe(
      [
        'Deep inspection:',
        '    compressed clusters: 7',
        '    normal clusters: 2',
        '    zero clusters: 1',
        '    unallocated clusters: 6',
        '    broken clusters: 1',
        '    payloads: 9',
        '    uncompressed size: 576 KiB (589824 bytes)',
        '    compressed size: 195 KiB (200000 bytes)',
        '    ratio of the data: 0.459',
        '    host clusters of payloads: 4',
        '    wasted size: 60.7 KiB (62144 bytes)',
        '    window size: 32 KiB (32768 bytes)',
        '    payloads with checksum: 0',
        '',
      ].join('\n'),
    );
    const json = await printed([withQcow2({ deep: DEEP })], { deep: true, output: 'json' });
    expect(JSON.parse(json.stdout).deep).toEqual({
      'compressed-clusters': 7,
      ratio: expect.closeTo(0.459, 3),
      'normal-clusters': 2,
      'zero-clusters': 1,
      'unallocated-clusters': 6,
      'broken-clusters': 1,
      payloads: 9,
      'uncompressed-size': 589824,
      'compressed-size': 200000,
      'host-clusters-of-payloads': 4,
      'wasted-size': 62144,
      'window-size': 32768,
      'payloads-with-checksum': 0,
    });
  });

  test('omits payloads if --deep found none', async () => {
    const facts = { ...DEEP.facts, compressedGuestBytes: 0, payloadBytes: 0, hostClusters: 0 };
    const { stdout } = await printed([withQcow2({ deep: { ...DEEP, facts } })], { deep: true });
    expect(stdout).toMatch(/ {4}broken clusters: 1\n$/);
  });

  test('shows no control character from an image', async () => {
    const name = 'a\nb\x1b[31m\u202e';
    const snapshot = { id: name, name, dateSeconds: 0, dateNanoseconds: 0, vmClock: 0n, vmStateSize: 0n };
    const info = withQcow2({
      backing: { name, fullName: `/${name}`, format: name },
      dataFile: { name, raw: false },
      bitmaps: [{ name, granularity: 512, auto: true, inUse: false }],
      snapshots: [{ ...snapshot, diskSize: undefined, icount: undefined }],
    });
    const { stdout } = await printed([{ ...info, file: name }]);
    const shown = 'a\\x0ab\\x1b[31m\\x202e';
    expect(stdout).toMatch(/^[ -~\n]*$/);
    expect(stdout).toContain(`image: ${shown}\n`);
    expect(stdout).toContain(
      `backing file: ${shown} (actual path: /${shown})\nbacking file format: ${shown}\n`,
    );
    expect(stdout).toContain(`    data file: ${shown}\n`);
    expect(stdout).toContain(`            name: ${shown}\n`);
    expect(stdout).toContain(`\n${shown} ${shown}      0 B`);
    const json = await printed([{ ...info, file: name }], { output: 'json' });
    expect(json.stdout).toMatch(/^[ -~\n]*$/);
    expect(JSON.parse(json.stdout)).toMatchObject({ filename: name, 'backing-filename': name });
  });

  test('names a file so that the name can be typed again', async () => {
    const { stdout } = await printed([{ ...IMAGE, file: 'a:b' }]);
    expect(stdout).toMatch(/^image: \.\/a:b\n/);
  });

  test('warns of stale bitmaps on standard error', async () => {
    const { stdout, stderr } = await printed([withQcow2({ staleBitmaps: true })]);
    expect(stderr).toMatch(/^qcow2c: warning: 'x\.qcow2': a program lacking bitmap support.*\n$/);
    expect(stdout).not.toContain('warning');
  });

  test('keeps progress out of standard output', async () => {
    const { stdout, stderr } = await printed(
      [IMAGE],
      { progress: 'qemu', output: 'json' },
      async (options) => {
        options.onProgress?.({ guestBytesDone: 1, guestBytes: 2, dataBytes: 1, storedBytes: undefined });
      },
    );
    expect(stderr).toContain('(50.00/100%)');
    expect(JSON.parse(stdout)).toMatchObject({ format: 'qcow2' });
  });

  test('exits with the code of the signal that stopped it, without output', async () => {
    const [stdout, stderr] = [new RecordedOutput(), new RecordedOutput()];
    const process = new EventEmitter();
    const imageInfo = async ({ signal }: ImageInfoOptions) => {
      process.emit('SIGTERM', 'SIGTERM');
      throw abortedError(signal?.reason);
    };
    const io = { stdout, stderr, process, now: () => 0, imageInfo };
    expect(await infoCommand(readInfoWords(['x'], { deep: true }), io)).toBe(143);
    expect(stdout.text).toBe('');
    expect(stderr.text).toBe("qcow2c: Looking at 'x' stopped by SIGTERM\n");
  });
});
