import { mkdirSync, symlinkSync } from 'node:fs';
import { expect, test } from 'vitest';
import { refuseDeviceDirectory } from '../../src/storage/device-directory.js';
import { useScratch } from '../e2e/scratch.js';

const path = useScratch();

test('a directory whose own name is not UTF-8 is checked too', async () => {
  const odd = Buffer.concat([Buffer.from(path('')), Buffer.from('/odd\xff', 'latin1')]);
  mkdirSync(odd);
  symlinkSync(odd, path('link'));
  await refuseDeviceDirectory(path('link', 'new'), 'new');
});

test('a new file in a directory of devices is refused, also through a link; one in shared memory is not', async () => {
  symlinkSync('/dev', path('devices'));
  for (const file of ['/dev/new', path('devices', 'new')]) {
    await expect(refuseDeviceDirectory(file, 'new')).rejects.toMatchObject({
      code: 'ERR_USAGE',
      file: 'new',
    });
  }
  await refuseDeviceDirectory('/dev/shm/new', 'new');
});
