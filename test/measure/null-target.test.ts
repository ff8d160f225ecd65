import { expect, test } from 'vitest';
import { openNullTarget } from '../../src/measure/null-target.js';

test('writes are counted and discarded', async () => {
  const { file, kind, existingSize } = await openNullTarget();
  await file.write(4096, [new Uint8Array(10), new Uint8Array(20)]);
  await file.write(0, [new Uint8Array(4096)]);
  expect([kind, existingSize, file.writeCalls, file.writtenBytes]).toEqual(['null', 0, 2, 4126]);
  await expect(file.read(0, new Uint8Array(1))).rejects.toThrow('discarded data');
});

test('a file ends in a sector that was written', async () => {
  const target = await openNullTarget();
  await target.file.write(0, [new Uint8Array(513)]);
  await target.seal(1024);
  await target.commit(1024);
  await expect(target.commit(1536)).rejects.toMatchObject({ code: 'ERR_INTERNAL' });
});

test.each([-1, 2 ** 53 - 1])('a file cannot have a byte after offset %d', async (offset) => {
  const { file } = await openNullTarget();
  await expect(file.write(offset, [new Uint8Array(2)])).rejects.toMatchObject({ code: 'ERR_INTERNAL' });
});
