/** The npm tarball in an empty project, without a registry. */
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { beforeAll, expect, test } from 'vitest';
import { ROOT } from '../e2e/cli.js';
import { useScratch } from '../e2e/scratch.js';
import { makeMixedDisk } from '../e2e/source-images.js';
import { runOk } from '../oracle/run.js';
import { expectWorkingProgram, TARBALL, VERSION } from './built-packages.js';

/** The packages that it needs, which a registry would supply. */
const NEEDED = [
  'commander',
  'cli-progress',
  'string-width',
  'strip-ansi',
  'ansi-regex',
  'emoji-regex',
  'is-fullwidth-code-point',
  'koffi',
  `@koromix/koffi-${process.platform}-${process.arch}`,
];

const path = useScratch();
const project = path('project');
beforeAll(async () => {
  await mkdir(project);
  await mkdir(path('needed'));
  await makeMixedDisk(path('disk.raw'));
  await writeFile(path('project', 'package.json'), '{"name": "empty", "private": true}');
  const needed = NEEDED.map((name) => `${ROOT}node_modules/${name}`);
  await runOk('npm', ['pack', '--ignore-scripts', '--pack-destination', path('needed'), ...needed]);
  const files = (await readdir(path('needed'))).map((name) => path('needed', name));
  const install = ['install', '--offline', '--no-audit', '--no-fund', '--ignore-scripts', TARBALL, ...files];
  await runOk('npm', install, { cwd: project });
});

test('its program works', async () => {
  await expectWorkingProgram([path('project/node_modules/.bin/qcow2c')], { here: path(), there: path() });
});

test.each([
  ['import', 'program.mjs', "import { convert, measure, Qcow2cError } from 'qcow2c';"],
  ['require', 'program.cjs', "const { convert, measure, Qcow2cError } = require('qcow2c');"],
])('its library can be loaded with %s', async (_, name, line) => {
  const work = `convert({ sources: ['none'], target: 'out.qcow2' }).catch((error) => {
    console.log(typeof measure, error instanceof Qcow2cError, error.code);
  });`;
  await writeFile(path('project', name), `${line}\n${work}\n`);
  expect(await runOk(process.execPath, [name], { cwd: project })).toBe('function true ERR_IO\n');
});

test('it installs the manual page', async () => {
  const { man, version } = JSON.parse(
    await runOk('cat', ['node_modules/qcow2c/package.json'], { cwd: project }),
  ) as { man: string[]; version: string };
  expect(version).toBe(VERSION);
  expect(await readdir(path('project/node_modules/qcow2c/docs'))).toContain(man[0]!.replace('docs/', ''));
});
