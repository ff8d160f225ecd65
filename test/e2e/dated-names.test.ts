/** Names with a date in them: a colon that is not a protocol's, in every option that takes a name. */
import { readdirSync, renameSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { runOk } from '../oracle/run.js';
import { cliOk } from './cli.js';
import { useScratch } from './scratch.js';
import { textBytes } from './source-images.js';

const path = useScratch();
const DATE = '2026-11-29T08:00';

test('sources, targets, backing files and data files with a date in their names are files, for QEMU too', async () => {
  const cwd = path('images');
  await mkdir(cwd);
  const ours = (...args: string[]) => cliOk(args, { cwd });
  const theirs = (...args: string[]) => runOk('qemu-img', args, { cwd });
  const raw = `vm-${DATE}.raw`;
  await writeFile(path(`images/${raw}`), textBytes(200_000));
  await ours('convert', '-c', '-f', 'raw', raw, `vm-${DATE}.qcow2`);
  await ours('convert', '-O', 'qcow2', '-b', `vm-${DATE}.qcow2`, '-F', 'qcow2', raw, `top-${DATE}.qcow2`);
  await ours('convert', '-O', 'qcow2', '-o', `data_file=data-${DATE}`, raw, `tables-${DATE}.qcow2`);
  expect(readdirSync(cwd).sort()).toEqual([
    `data-${DATE}`,
    `tables-${DATE}.qcow2`,
    `top-${DATE}.qcow2`,
    `vm-${DATE}.qcow2`,
    raw,
  ]);
  for (const image of [`vm-${DATE}.qcow2`, `top-${DATE}.qcow2`, `tables-${DATE}.qcow2`]) {
    await theirs('compare', '-f', 'raw', '-F', 'qcow2', `./${raw}`, `./${image}`);
    await ours('compare', '-f', 'raw', '-F', 'qcow2', raw, image);
    await ours('check', image);
    await ours('map', '--output=json', '-f', 'qcow2', image);
  }
  await ours('measure', '-O', 'qcow2', '-f', 'raw', raw);
  const chain = JSON.parse(
    await ours('info', '--backing-chain', '--output=json', '-f', 'qcow2', `top-${DATE}.qcow2`),
  );
  expect(chain).toMatchObject([
    { 'backing-filename': `./vm-${DATE}.qcow2`, 'full-backing-filename': `././vm-${DATE}.qcow2` },
    { format: 'qcow2' },
  ]);

  // An image that was made without the './' is one that QEMU cannot open.
  renameSync(path(`images/${raw}`), path('images/plain.raw'));
  await theirs(
    'create',
    '-q',
    '-u',
    '-f',
    'qcow2',
    '-b',
    `vm-${DATE}.qcow2`,
    '-F',
    'qcow2',
    'old.qcow2',
    '200192',
  );
  await ours('compare', '-f', 'raw', '-F', 'qcow2', 'plain.raw', 'old.qcow2');
  await ours(
    'convert',
    ...['--image-opts', '-O', 'raw'],
    `driver=qcow2,file.filename=top-${DATE}.qcow2,backing.file.filename=vm-${DATE}.qcow2,backing.driver=qcow2`,
    `${DATE}.out`,
  );
  await theirs('compare', '-f', 'raw', '-F', 'raw', 'plain.raw', `./${DATE}.out`);
});
