/** Backups of a disk that a guest writes to all the time, full and incremental, over frozen views of it. */
import { expect, test } from 'vitest';
import { create } from '../oracle/qemu-img.js';
import { runOk } from '../oracle/run.js';
import { cliOk } from './cli.js';
import { BusyGuest, LiveDisk } from './live-disk.js';
import { useScratch } from './scratch.js';
import { storedClusters } from './stored-clusters.js';

const path = useScratch();
const KIB = 1024;
const DISK = 12 * KIB * KIB;
const INCREMENTALS = 5;
/** Commands of the guest between two backups. */
const WRITES = 40;

/** What the guest does: writes, zeros and discards of all sizes in one half of the disk, pseudo-random. */
function* work(): Generator<string> {
  let state = 1;
  const dice = (sides: number) => {
    state = (state * 48_271) % 0x7fffffff;
    return state % sides;
  };
  for (;;) {
    const at = dice(DISK / 2 / 512) * 512;
    const length = Math.min([512, 4 * KIB, 64 * KIB, 200 * KIB][dice(4)]!, DISK / 2 - at);
    const how = [`write -q -P ${1 + dice(255)}`, `write -q -P ${1 + dice(255)}`, 'write -q -z', 'discard -q'][
      dice(4)
    ];
    yield `${how} ${at} ${length}`;
  }
}

test('one full and five incremental backups, each of them the disk at its moment', async () => {
  const disk = path('disk.qcow2');
  await create(disk, DISK);
  await runOk('qemu-io', ['-c', `write -q -P 170 ${DISK / 2} ${DISK / 4}`, disk]);
  await using live = await LiveDisk.start(disk, DISK);
  await using guest = new BusyGuest(live.uri('guest'), work());
  await guest.more(WRITES);

  const backups: { readonly image: string; readonly moment: string }[] = [];
  for (let index = 0; index <= INCREMENTALS; index += 1) {
    const image = path(`backup${index}.qcow2`);
    const moment = path(`moment${index}.raw`);
    const parent = backups.at(-1)?.image;
    const since = parent && ['--bitmap', `since${index}`, '-B', parent, '-F', 'qcow2'];
    await live.whileFrozen(parent && `since${index}`, `since${index + 1}`, async (uri) => {
      const before = guest.writes;
      await cliOk(['convert', '-c', '--verify', ...(since ?? []), uri, image]);
      await guest.more(5);
      await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', uri, moment]);
      expect(guest.writes).toBeGreaterThan(before);
    });
    backups.push({ image, moment });
    await guest.more(WRITES);
  }
  for (const { image, moment } of backups) {
    const compared = await runOk('qemu-img', ['compare', '-f', 'qcow2', '-F', 'raw', image, moment]);
    expect(compared).toBe('Images are identical.\n');
  }
  // The other half of the disk is in the full backup only.
  for (const { image } of backups.slice(1)) {
    const stored = await storedClusters(image, 64 * KIB);
    expect(stored.length).toBeGreaterThan(0);
    expect(Math.max(...stored)).toBeLessThan(DISK / 2);
  }
});
