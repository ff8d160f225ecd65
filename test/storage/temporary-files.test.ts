/** A run's temporary files can be removed at any time, and no other files are. */
import { existsSync, lstatSync, renameSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { openTarget } from '../../src/storage/open-target.js';
import { TemporaryFiles } from '../../src/storage/temporary-files.js';
import { useScratch } from '../e2e/scratch.js';

const path = useScratch();

test('an abandoned target has no temporary file, and is never renamed', async () => {
  const temporaryFiles = new TemporaryFiles();
  const target = await openTarget(path('image'), 'writeback', false, undefined, temporaryFiles);
  expect(existsSync(target.path)).toBe(true);
  await temporaryFiles.abandon();
  expect(existsSync(target.path)).toBe(false);
  await expect(target.commit(0)).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  expect(existsSync(path('image'))).toBe(false);
  await expect(
    openTarget(path('image'), 'writeback', false, undefined, temporaryFiles),
  ).rejects.toMatchObject({
    code: 'ERR_ABORTED',
  });
  expect(existsSync(target.path)).toBe(false);
});

test('a file that has its final name by then stays', async () => {
  const temporaryFiles = new TemporaryFiles();
  const target = await openTarget(path('done'), 'writeback', false, undefined, temporaryFiles);
  await target.commit(0);
  writeFileSync(target.path, 'of another run');
  await temporaryFiles.abandon();
  expect([existsSync(path('done')), existsSync(target.path)]).toEqual([true, true]);
});

test('another file under the name stays', async () => {
  const temporaryFiles = new TemporaryFiles();
  const file = path('replaced');
  writeFileSync(file, 'ours');
  temporaryFiles.add(file, lstatSync(file, { bigint: true }));
  writeFileSync(path('other'), 'of another process');
  renameSync(path('other'), file);
  await temporaryFiles.abandon();
  expect(existsSync(file)).toBe(true);
});
