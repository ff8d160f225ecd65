/** Without libnbd, or without koffi, the error names the packages. */
import { afterEach, expect, test, vi } from 'vitest';

afterEach(() => {
  vi.doUnmock('../../src/system/koffi.js');
  vi.resetModules();
});

test.each([
  [
    'koffi',
    () => {
      throw new Error("Cannot find module 'koffi'");
    },
  ],
  [
    'libnbd',
    () => ({
      load: () => {
        throw new Error('libnbd.so.0: cannot open shared object file');
      },
    }),
  ],
])('%s is missing', async (_, loadKoffi) => {
  vi.doMock('../../src/system/koffi.js', () => ({ loadKoffi }));
  const { mapImage } = await import('../../src/map/map-image.js');
  const ranges = mapImage({ image: 'nbd+unix:///?socket=/nowhere' });
  await expect(ranges.next()).rejects.toMatchObject({
    code: 'ERR_UNSUPPORTED',
    message: 'NBD exports need the library libnbd: install libnbd0 (libnbd.so.0) and the package koffi',
  });
});
