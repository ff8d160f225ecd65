/**
 * One file that runs without Node.js: the node that runs this, with the program in it
 * (https://nodejs.org/api/single-executable-applications.html).
 */
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { KOFFI_BINARY, programModules } from './program-modules.js';
import { outputOf } from './programs.js';
import { ROOT } from './release.js';

/** The mark in a node binary that tells whether a program was added. Distributions' builds with a shared libnode lack it. */
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';
const BLOB = 'NODE_SEA_BLOB';
/** A process of its own, because it warns of every section of a stripped file. */
const POSTJECT = fileURLToPath(import.meta.resolve('postject/dist/cli.js'));

const RUNTIME = new URL('executable/packed-modules.cjs', import.meta.url);

/** The executable holds its code compiled. */
const START = "module.exports = async () => require('../dist/cli.cjs');";

/**
 * Compiles the program with the same V8, which otherwise takes part of each start. Without a fixed seed the bytes would
 * differ each time.
 */
const COMPILE = `
  const { readFileSync, writeFileSync } = require('node:fs');
  const script = new vm.Script(readFileSync('program.js', 'utf8'), { filename: 'qcow2c' });
  writeFileSync('program.cache', script.createCachedData());`;

/**
 * @param {string} target the executable
 * @param {string} scratch an empty directory
 */
export function makeExecutable(target, scratch) {
  if (!readFileSync(process.execPath).includes(FUSE))
    throw new Error(`${process.execPath} cannot hold a program; run this with a node from nodejs.org`);
  mkdirSync(scratch);
  const file = (name) => `${scratch}/${name}`;
  writeFileSync(file('program.js'), packProgram());
  outputOf(process.execPath, ['--random-seed=1', '--eval', COMPILE], { cwd: scratch });
  copyFileSync(`${ROOT}packaging/executable/start.cjs`, file('start.cjs'));
  copyFileSync(`${ROOT}${KOFFI_BINARY}`, file('koffi.node'));
  const config = {
    // Names without a directory, because the executable holds this one.
    main: 'start.cjs',
    output: 'blob',
    disableExperimentalSEAWarning: true,
    assets: Object.fromEntries(['program.js', 'program.cache', 'koffi.node'].map((name) => [name, name])),
  };
  writeFileSync(file('config.json'), JSON.stringify(config));
  outputOf(process.execPath, ['--experimental-sea-config', 'config.json'], { cwd: scratch });
  copyFileSync(process.execPath, target);
  // Symbols of Node.js that only a debugger reads.
  outputOf('strip', [target]);
  outputOf(process.execPath, [POSTJECT, target, BLOB, file('blob'), '--sentinel-fuse', FUSE]);
}

/** @returns {string} a script whose value is a function, see packed-modules.cjs */
function packProgram() {
  const packed = programModules().map(({ name, code, needs }) => {
    // A shell reads the first line of bin/qcow2c.js.
    const body = name === 'bin/start.js' ? START : code.replace(/^#!.*/, '');
    const names = `${JSON.stringify(name)}: [${JSON.stringify(needs)}`;
    return `${names}, function (exports, require, module, __filename) {${body}\n}]`;
  });
  const runtime = readFileSync(RUNTIME, 'utf8');
  const whole = runtime.replace('= PACKED_MODULES', () => `= {\n${packed.join(',\n')}\n}`);
  return `(function (entry, opening, koffiFile) {${whole}})`;
}
