/** The npm package. */
import { copyFileSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { settle } from './file-tree.js';
import { outputOf } from './programs.js';
import { ROOT } from './release.js';

/**
 * @param {string} target the directory that the tarball is put into
 * @param {string} tree a directory that is made: npm keeps the permissions of files, which depend on the umask
 */
export function makeNpmTarball(target, tree) {
  const [{ files }] = JSON.parse(
    outputOf('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: ROOT }),
  );
  for (const { path } of files) {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    copyFileSync(`${ROOT}${path}`, join(tree, path));
  }
  settle(tree, (file) => file === join(tree, 'bin/qcow2c.js'));
  outputOf('npm', ['pack', '--ignore-scripts', '--pack-destination', target, tree], { cwd: ROOT });
}
