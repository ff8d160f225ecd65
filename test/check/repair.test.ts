import { execFileSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { readCheckedImage } from '../../src/check/checked-image.js';
import type { Finding } from '../../src/check/findings.js';
import { type RepairMode, type RepairOptions, repairImage } from '../../src/check/repair.js';
import { RepairFile } from '../../src/check/repair-file.js';
import { writeNewRefcounts } from '../../src/check/repair-rebuild.js';
import { useScratch } from '../e2e/scratch.js';
import { run } from '../oracle/run.js';
import { type Base, baseImage } from './corrupt-bases.js';
import { COPIED, HEADER, ImageBytes } from './corrupt-image-bytes.js';
import { guestView } from './guest-view.js';
import { HistoryFile } from './power-history.js';

const path = useScratch();

async function imageWith(base: Base, change: (image: ImageBytes) => void): Promise<ImageBytes> {
  const image = new ImageBytes(await baseImage(base));
  change(image);
  return image;
}

/** Repairs an image in memory. */
async function repair({ bytes }: ImageBytes, mode: RepairMode, options: RepairOptions = {}) {
  const file = new HistoryFile(bytes);
  const outcome = await repairImage(new RepairFile(file, bytes.length), mode, options);
  return { ...outcome, file, image: new ImageBytes(file.bytes) };
}

const leak = (image: ImageBytes) => image.setRefcount(image.append() / image.clusterSize, 1);

describe('the marks of a dirty and of a corrupt image', () => {
  const marked = (change: (image: ImageBytes) => void) =>
    imageWith({}, (image) => {
      change(image);
      image.edit(HEADER.incompatible, (bits) => bits | 3n);
    });

  test.each(['leaks', 'all'] as const)(
    'go when %s are repaired and the image is sound then',
    async (mode) => {
      const { image } = await repair(await marked(leak), mode);
      expect(image.u64(HEADER.incompatible)).toBe(0n);
    },
  );

  test('are cleared from a valid image', async () => {
    const { image, file } = await repair(await marked(() => {}), 'leaks');
    expect(image.u64(HEADER.incompatible)).toBe(0n);
    expect(file.steps).toHaveLength(2);
  });

  test('stay while any corruption is left', async () => {
    const broken = await marked((image) => image.edit(image.l2EntryAt(0), (entry) => entry + 512n));
    const { image } = await repair(broken, 'all');
    expect(image.u64(HEADER.incompatible)).toBe(3n);
  });

  test('stay if only leaks are repaired and corruptions exist', async () => {
    const broken = await marked((image) => image.setRefcount(image.hostClusterOf(2), 1));
    const { image, corruptionsFixed } = await repair(broken, 'leaks');
    expect(image.u64(HEADER.incompatible)).toBe(3n);
    expect(corruptionsFixed).toBe(0);
  });
});

describe('unknown autoclear bits', () => {
  const UNKNOWN = 1n << 40n;

  test('are cleared before anything is repaired', async () => {
    const broken = await imageWith({}, (image) => {
      leak(image);
      image.setU64(HEADER.autoclear, UNKNOWN);
    });
    const { image, file } = await repair(broken, 'leaks');
    expect(image.u64(HEADER.autoclear)).toBe(0n);
    expect(file.steps[0]).toMatchObject({ offset: 0 });
    expect(file.steps[1]).toBe('sync');
  });

  test('stay when nothing is repaired', async () => {
    const sound = await imageWith({}, (image) => image.setU64(HEADER.autoclear, UNKNOWN));
    const { file } = await repair(sound, 'all');
    expect(file.steps).toEqual([]);
  });
});

describe('a table that may not be one', () => {
  test('stays unchanged when it is guest data', async () => {
    const broken = await imageWith({}, (image) => {
      // Guest data that look like L2 entries without their flag, and some that do not.
      const data = image.hostClusterOf(0) * image.clusterSize;
      image.bytes.fill(0x5a, data, data + image.clusterSize);
      for (let at = 0; at < 4096; at += 8) image.setU64(data + at, 0xb0000n);
      image.setU64(image.l1EntryAt(2), BigInt(data) | COPIED);
    });
    const { image, corruptionsFixed } = await repair(broken, 'all');
    expect(corruptionsFixed).toBeGreaterThan(0);
    expect(guestView(image.bytes).filter((line) => line.startsWith('0/0 '))).toEqual(
      guestView(broken.bytes)
        .filter((line) => line.startsWith('0/0 '))
        .map((line) => line.replace(/ 8000/, ' ')),
    );
    const data = image.hostClusterOf(0) * image.clusterSize;
    expect(
      image.bytes
        .subarray(data, data + image.clusterSize)
        .equals(broken.bytes.subarray(data, data + image.clusterSize)),
    ).toBe(true);
  });

  test('stays unchanged when it is the header', async () => {
    const broken = await imageWith({}, (image) => image.setU64(image.l1EntryAt(2), COPIED));
    const { image } = await repair(broken, 'all');
    expect(image.bytes.subarray(0, 512).equals(broken.bytes.subarray(0, 512))).toBe(true);
  });
});

test('new tables are named by one write inside one sector', async () => {
  const broken = await imageWith({}, (image) => image.setU64(HEADER.refcountTableOffset, 1n << 40n));
  const { file } = await repair(broken, 'all');
  const toHeader = file.steps.filter((step) => step !== 'sync' && step.offset === 0);
  expect(toHeader).toMatchObject([{ bytes: { length: 512 } }]);
});

test('a failed write is reported, and the image can still be repaired', async () => {
  const broken = await imageWith({}, (image) => {
    leak(image);
    image.setRefcount(image.hostClusterOf(2), 1);
    image.edit(image.l2EntryAt(0), (entry) => entry & ~COPIED);
  });
  const { length } = (await repair(broken, 'all')).file.steps.filter((step) => step !== 'sync');
  expect(length).toBe(3);
  for (let writes = 0; writes < length; writes += 1) {
    const file = new HistoryFile(broken.bytes);
    file.failsAfter = writes;
    await expect(repairImage(new RepairFile(file, broken.bytes.length), 'all')).rejects.toThrow(
      'the disk is gone',
    );
    const { totals } = await repair((await repair(new ImageBytes(file.bytes), 'all')).image, 'all');
    expect(totals).toMatchObject({ corruptions: 0, leaks: 0 });
  }
});

test('every finding is reported, and repaired ones once more as repaired', async () => {
  const broken = await imageWith({}, (image) => {
    leak(image);
    image.setRefcount(image.hostClusterOf(2), 1);
    image.edit(image.l2EntryAt(0), (entry) => entry & ~COPIED);
    image.edit(image.l2EntryAt(5), (entry) => entry + 512n);
    image.edit(image.l2EntryAt(6), (entry) => entry | 2n);
  });
  const told = async (mode: RepairMode) => {
    const found: [Finding['kind'], boolean][] = [];
    await repair(broken, mode, { onFinding: ({ kind }, repairing) => void found.push([kind, repairing]) });
    return found;
  };
  expect(await told('leaks')).toEqual([
    ['cluster-unaligned', false],
    ['l2-reserved-bits', false],
    ['refcount', false],
    ['refcount', false],
    ['refcount', false],
    ['refcount', true],
    ['copied-flag-cluster', false],
  ]);
  // The zero cluster stays unchanged: with another invalid entry, the table may not be one.
  expect((await told('all')).filter(([, repairing]) => repairing)).toEqual([
    ['refcount', true],
    ['refcount', true],
    ['refcount', true],
    ['copied-flag-cluster', true],
    ['copied-flag-cluster', true],
  ]);
});

describe('an image of many windows and refcount blocks', () => {
  const WINDOW = 2 ** 13;

  async function large(): Promise<ImageBytes> {
    const image = path('large.qcow2');
    const options = 'cluster_size=512,preallocation=metadata';
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', options, image, '9M']);
    return new ImageBytes(await readFile(image));
  }

  async function expectSound(bytes: Buffer): Promise<void> {
    const file = path('repaired.qcow2');
    await writeFile(file, bytes);
    expect(await run('qemu-img', ['check', file])).toMatchObject({ status: 0, stderr: '' });
  }

  test('is repaired in place, for any windows', async () => {
    const broken = await large();
    for (let cluster = 100; cluster < broken.clusters; cluster += 577) {
      broken.setRefcount(cluster, cluster % 2 === 0 ? 0 : 3);
    }
    const [whole, inParts] = [
      await repair(broken, 'all'),
      await repair(broken, 'all', { windowClusters: WINDOW }),
    ];
    expect(inParts).toMatchObject({ leaksFixed: whole.leaksFixed, corruptionsFixed: whole.corruptionsFixed });
    expect(whole.corruptionsFixed).toBeGreaterThan(10);
    expect(inParts.file.bytes.equals(whole.file.bytes)).toBe(true);
    expect(whole.file.bytes.length).toBe(broken.bytes.length);
    await expectSound(whole.file.bytes);
  });

  test('gets new refcounts, for any windows', async () => {
    const broken = await large();
    const table = broken.offsetIn(HEADER.refcountTableOffset);
    broken.bytes.fill(0xee, table, table + 512);
    const [whole, inParts] = [
      await repair(broken, 'all'),
      await repair(broken, 'all', { windowClusters: WINDOW }),
    ];
    expect(inParts.file.bytes.equals(whole.file.bytes)).toBe(true);
    expect(whole.image.u32(HEADER.refcountTableClusters)).toBeGreaterThan(1);
    await expectSound(whole.file.bytes);
  });
});

test('a refcount table larger than QEMU accepts is refused before anything is written', async () => {
  const broken = await imageWith({ clusterSize: 512 }, () => {});
  const storage = new HistoryFile(broken.bytes);
  const file = new RepairFile(storage, broken.bytes.length);
  // The first cluster whose refcount needs an entry past the 8 MiB.
  const end = ((8 * 2 ** 20) / 8) * 256;
  const made = writeNewRefcounts(file, await readCheckedImage(file), end, {});
  await expect(made).rejects.toMatchObject({ code: 'ERR_LIMIT' });
  expect(storage.steps).toEqual([]);
});

describe('a snapshot table', () => {
  const SNAPSHOTS: Base = { with: 'snapshots' };

  /** Removes the extra data of both snapshots. */
  const shorten = (image: ImageBytes) => {
    const table = Number(image.u64(HEADER.snapshotsOffset));
    const kept = [0, 1].map((index) => {
      const at = image.snapshotAt(index);
      const extra = image.u32(at + 36);
      const names = image.bytes.readUInt16BE(at + 12) + image.bytes.readUInt16BE(at + 14);
      const entry = Buffer.concat([
        image.bytes.subarray(at, at + 40),
        image.bytes.subarray(at + 40 + extra, at + 40 + extra + names),
      ]);
      entry.writeUInt32BE(0, 36);
      entry.writeUInt32BE(1234, 32);
      return Buffer.concat([entry, Buffer.alloc(-entry.length & 7)]);
    });
    image.bytes.fill(0, table, table + image.clusterSize);
    Buffer.concat(kept).copy(image.bytes, table);
  };

  test('gets the extra data that version 3 requires, from its other fields, and keeps names and tables', async () => {
    const broken = await imageWith(SNAPSHOTS, shorten);
    const { image, corruptionsFixed, leaksFixed } = await repair(broken, 'all');
    expect({ corruptionsFixed, leaksFixed }).toEqual({ corruptionsFixed: 2, leaksFixed: 0 });
    expect(image.u64(HEADER.snapshotsOffset)).not.toBe(broken.u64(HEADER.snapshotsOffset));
    for (const [index, name] of ['1first', '2second'].entries()) {
      const at = image.snapshotAt(index);
      expect(image.u32(at + 36)).toBe(16);
      expect(image.u64(at + 40)).toBe(1234n);
      expect(image.u64(at + 48)).toBe(image.u64(HEADER.virtualSize));
      expect(image.bytes.subarray(at + 56, at + 56 + name.length).toString()).toBe(name);
      expect(image.u64(at)).toBe(broken.u64(broken.snapshotAt(index)));
    }
    expect(guestView(image.bytes)).toEqual(guestView(broken.bytes));
  });

  test('that is valid is not rewritten', async () => {
    const { file } = await repair(await imageWith(SNAPSHOTS, () => {}), 'all');
    expect(file.steps).toEqual([]);
  });
});
