/** The built program with a worker that dies in the middle of its work. */
import { copyFileSync, cpSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, test } from 'vitest';
import { ROOT } from './cli.js';
import { expectFailure } from './failures.js';
import { useScratch } from './scratch.js';
import { makeMixedDisk } from './source-images.js';

const path = useScratch();
const DYING = fileURLToPath(new URL('../workers/threads/dies-later.mjs', import.meta.url));
const program = path('qcow2c', 'bin', 'qcow2c.js');

beforeAll(async () => {
  mkdirSync(path('qcow2c'));
  for (const part of ['bin', 'dist', 'package.json'])
    cpSync(`${ROOT}${part}`, path('qcow2c', part), { recursive: true });
  symlinkSync(`${ROOT}node_modules`, path('qcow2c', 'node_modules'));
  renameSync(path('qcow2c', 'dist', 'worker.cjs'), path('qcow2c', 'dist', 'real-worker.cjs'));
  copyFileSync(DYING, path('qcow2c', 'dist', 'dies-later.mjs'));
  writeFileSync(path('qcow2c', 'dist', 'worker.cjs'), "import('./dies-later.mjs');\n");
  await makeMixedDisk(path('disk.raw'));
  mkdirSync(path('out'));
});

test.each([
  ['exits', /exited with code: 7$/],
  ['throws later', /thread \d+ is broken$/],
  ['runs out of memory', /reaching memory limit: .* out of memory$/],
])('one that %s gives one line, and no leftovers', async (way, reason) => {
  const line = new RegExp(`^A worker failed at guest offset \\d+: .*${reason.source}`);
  for (const args of [['-c'], ['-O', 'raw']]) {
    const words = ['convert', '-f', 'raw', ...args, path('disk.raw'), path('out', 'target')];
    await expectFailure(path('out'), words, line, { program, env: { WORKER_DIES: way } });
  }
});
