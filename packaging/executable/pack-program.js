/** Packs the program and the packages it uses into one script. */
import { readFileSync } from 'node:fs';
import { programModules } from '../program-modules.js';

const RUNTIME = new URL('packed-modules.cjs', import.meta.url);

/** The executable holds its code compiled. */
const START = "module.exports = async () => require('../dist/cli.cjs');";

/** @returns {string} a script whose value is a function, see packed-modules.cjs */
export function packProgram() {
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
