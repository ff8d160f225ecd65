/** The program as a directory: what npm would install of it, less what only programmers read. */
import { copyFileSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { KOFFI_BINARY, KOFFI_BINARY_PACKAGE, packagesOf, programModules } from './program-modules.js';
import { ROOT } from './release.js';

/** koffi's own code is found, but not loaded: src/system/koffi.ts loads its binary. */
const KOFFI = ['node_modules/koffi/package.json', 'node_modules/koffi/index.cjs'];

/** Puts the program and the packages it loads into a new directory. */
export function layProgram(directory) {
  const modules = programModules();
  const names = [
    ...modules.map(({ name }) => name),
    ...['package.json', 'bin/package.json'],
    ...packagesOf(modules).map((location) => `${location}/package.json`),
    ...KOFFI,
    ...['package.json', 'index.js'].map((name) => `${KOFFI_BINARY_PACKAGE}/${name}`),
    KOFFI_BINARY,
  ];
  for (const name of names) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    copyFileSync(`${ROOT}${name}`, join(directory, name));
  }
}
