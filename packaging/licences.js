/** The licences of what packages contain. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { packagesOf, programModules } from './program-modules.js';
import { ROOT } from './release.js';

/** The build puts its code into this file. */
const BUILT_IN = { directory: 'node_modules/commander', files: 'dist/cli.cjs' };

/** @returns {{ name: string, files: string, text: string }[]} of qcow2c and of the packages in it */
export function programLicences() {
  const packages = [...packagesOf(programModules()), 'node_modules/koffi'];
  const others = [...packages.map((directory) => ({ directory, files: `${directory}/*` })), BUILT_IN];
  return [
    { name: 'qcow2c', files: '*', text: licenceIn(ROOT) },
    ...others.map(({ directory, files }) => ({
      name: directory.replace('node_modules/', ''),
      files,
      text: licenceIn(`${ROOT}${directory}`),
    })),
  ];
}

/** @returns {string} the licences of Node.js and of what it contains */
export function nodeLicence() {
  const prefix = dirname(dirname(process.execPath));
  const files = [`${prefix}/LICENSE`, `${prefix}/share/doc/nodejs/LICENSE`];
  const file = files.find((name) => existsSync(name));
  if (file === undefined)
    throw new Error(`The licence of ${process.execPath} is not in ${files.join(' or ')}`);
  return readFileSync(file, 'utf8');
}

function licenceIn(directory) {
  const name = readdirSync(directory).find((entry) => /^licen[cs]e/i.test(entry));
  if (name === undefined) throw new Error(`${directory} has no licence`);
  return readFileSync(`${directory}/${name}`, 'utf8');
}
