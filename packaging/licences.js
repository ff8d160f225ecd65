/** The licences of what packages contain. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { packagesOf, programModules } from './program-modules.js';
import { ROOT } from './release.js';

/** @returns {{ name: string, text: string }[]} of qcow2c and of the packages in it */
export function programLicences() {
  const packages = [...packagesOf(programModules()), 'node_modules/koffi'];
  const others = packages.map((directory) => ({
    name: directory.replace('node_modules/', ''),
    text: licenceIn(`${ROOT}${directory}`),
  }));
  return [{ name: 'qcow2c', text: licenceIn(ROOT) }, ...others];
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
