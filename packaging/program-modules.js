/** The files that the built program loads, its own and those of other packages. */
import { readFileSync } from 'node:fs';
import { createRequire, isBuiltin } from 'node:module';
import { relative } from 'node:path';
import { ROOT } from './release.js';

const ENTRIES = ['bin/qcow2c.js', 'dist/worker.cjs'];
/** Loaded through koffi.ts, and only for systems for which koffi has no binary. */
const LEFT_OUT = ['koffi', 'fs-ext'];

/** koffi's package with the binary for this system. */
export const KOFFI_BINARY_PACKAGE = `node_modules/@koromix/koffi-${process.platform}-${process.arch}`;
export const KOFFI_BINARY = `${KOFFI_BINARY_PACKAGE}/${process.platform}_${process.arch}/koffi.node`;

/**
 * @returns {{ name: string, code: string, needs: Record<string, string> }[]} in the order of their names, which start at
 *   the checkout; `needs` has the names of the modules that one requires, by the words it uses
 */
export function programModules() {
  const modules = new Map();
  const waiting = [...ENTRIES];
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (modules.has(name)) continue;
    const code = readFileSync(`${ROOT}${name}`, 'utf8');
    const needs = neededModules(name, code);
    waiting.push(...Object.values(needs));
    modules.set(name, { name, code, needs });
  }
  return [...modules.values()].sort((one, other) => (one.name < other.name ? -1 : 1));
}

/** @returns {string[]} the directories of the packages that modules belong to, without this one */
export function packagesOf(modules) {
  const found = modules.map(({ name }) => /^node_modules\/(?:@[^/]+\/)?[^/]+/.exec(name)?.[0]);
  return [...new Set(found.filter((directory) => directory !== undefined))];
}

function neededModules(name, code) {
  const require = createRequire(`${ROOT}${name}`);
  const words = [...code.matchAll(/\brequire\((['"])([^'"]+)\1\)/g)].map(([, , word]) => word);
  const modules = words.filter((word) => !isBuiltin(word) && !LEFT_OUT.includes(word));
  return Object.fromEntries(modules.map((word) => [word, relative(ROOT, require.resolve(word))]));
}
