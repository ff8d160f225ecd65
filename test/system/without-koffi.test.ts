/** Without koffi only operations fail that have no other way. */
import * as fs from 'node:fs';
import { expect, test, vi } from 'vitest';
import { DirectFile } from '../../src/storage/direct-file.js';
import { openTarget } from '../../src/storage/open-target.js';
import { deviceSize } from '../../src/system/device-size.js';
import { useScratch } from '../e2e/scratch.js';

vi.mock('../../src/system/koffi.js', async (original) => ({
  ...(await original<typeof import('../../src/system/koffi.js')>()),
  loadKoffi: () => {
    throw new Error('not installed');
  },
}));

const scratch = useScratch();

test('no hole can be made, and preallocation says why not', async () => {
  const path = scratch('file');
  fs.writeFileSync(path, 'content');
  const file = await DirectFile.open(path, 'the target', 'none');
  expect(await file.punch(0, 4096)).toBe(false);
  await expect(file.allocate(0, 8192)).rejects.toMatchObject({
    code: 'ERR_IO',
    systemCode: 'ENOSYS',
    message: "Could not preallocate 8192 bytes of 'the target': Function not implemented",
  });
  expect(fs.readFileSync(path, 'utf8')).toBe('content');
  await file.close();
});

test.each([0, 512, 4096, 4608, 1_048_576, 1_000_448])(
  'the end of a device of %d bytes is found by reading',
  async (size) => {
    const path = scratch(`device-${size}`);
    fs.writeFileSync(path, '');
    fs.truncateSync(path, size);
    for (const flags of [fs.constants.O_RDWR, fs.constants.O_RDWR | fs.constants.O_DIRECT]) {
      const descriptor = fs.openSync(path, flags);
      expect(await deviceSize(descriptor)).toBe(size);
      fs.closeSync(descriptor);
    }
  },
);

test.each([
  [0o644, 0o600],
  [0o750, 0o700],
  [0o600, 0o600],
])(
  'a file of mode %o is replaced by one for its owner only, because it may have an access list',
  async (old, mode) => {
    const path = scratch(`replaced-${old.toString(8)}`);
    fs.writeFileSync(path, 'old');
    fs.chmodSync(path, old);
    const target = await openTarget(path, 'none', false);
    const notice =
      'is now accessible to its owner only, because access control lists cannot be read on this system without the package koffi';
    expect(target.notices).toEqual(old === mode ? [] : [notice]);
    await target.commit(0);
    expect(fs.statSync(path).mode & 0o7777).toBe(mode);
  },
);
