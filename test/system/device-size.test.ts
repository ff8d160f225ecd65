import * as fs from 'node:fs';
import { expect, test, vi } from 'vitest';
import { deviceSize } from '../../src/system/device-size.js';
import { useScratch } from '../e2e/scratch.js';

const scratch = useScratch();
const { readSync } = vi.hoisted(() => ({ readSync: vi.fn() }));
vi.mock('node:fs', async (original) => {
  const actual = await original<typeof import('node:fs')>();
  readSync.mockImplementation(actual.readSync);
  return { ...actual, readSync };
});

test.each([512, 1_000_448, 5 * 2 ** 40])(
  'the end of a device of %d bytes is found by seeking',
  async (size) => {
    const path = scratch(`device-${size}`);
    fs.writeFileSync(path, '');
    fs.truncateSync(path, size);
    const descriptor = fs.openSync(path, 'r');
    expect(await deviceSize(descriptor)).toBe(size);
    expect(readSync).not.toHaveBeenCalled();
    fs.closeSync(descriptor);
  },
);

test('a descriptor that cannot seek is a system error', async () => {
  await expect(deviceSize(999_999)).rejects.toMatchObject({ code: 'EBADF' });
});
