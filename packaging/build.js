/**
 * `npm run package`: makes every package of the built program in packages/. It uses no network, and the same commit gives
 * the same bytes with the same Node.js, tools and libraries.
 */
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { makeBillOfMaterials } from './bill-of-materials.js';
import { makeContainerImage } from './container-image.js';
import { makeDebianPackage } from './debian-package.js';
import { settle } from './file-tree.js';
import { nodeLicence, programLicences } from './licences.js';
import { outputOf } from './programs.js';
import { ARCHITECTURE, ROOT, VERSION } from './release.js';
import { makeExecutable } from './single-executable.js';

const TARGET = `${ROOT}packages`;
const NAME = `${TARGET}/qcow2c-${VERSION}`;
const EXECUTABLE = `${NAME}-linux-${process.arch}`;

rmSync(TARGET, { recursive: true, force: true });
mkdirSync(TARGET);
const scratch = mkdtempSync(join(tmpdir(), 'qcow2c-packages-'));
try {
  makeNpmTarball(join(scratch, 'npm'));
  makeBillOfMaterials(`${NAME}.cdx.json`, join(scratch, 'materials'));
  makeDebianPackage(`${TARGET}/qcow2c_${VERSION}_${ARCHITECTURE}.deb`, join(scratch, 'deb'));
  makeExecutable(EXECUTABLE, join(scratch, 'executable'));
  writeFileSync(`${EXECUTABLE}.licences.txt`, licences());
  makeContainerImage(`${NAME}-oci-${ARCHITECTURE}`, join(scratch, 'image'));
  writeFileSync(`${TARGET}/SHA256SUMS`, checksums());
  settle(TARGET, (file) => file === EXECUTABLE);
  process.stdout.write(readFileSync(`${TARGET}/SHA256SUMS`));
} catch (error) {
  process.stderr.write(`npm run package: ${error.message}\n`);
  process.exitCode = 1;
} finally {
  rmSync(scratch, { recursive: true });
}

/** @param {string} tree a directory that is made: npm keeps the permissions of files, which depend on the umask */
function makeNpmTarball(tree) {
  const [{ files }] = JSON.parse(
    outputOf('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: ROOT }),
  );
  for (const { path } of files) {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    copyFileSync(`${ROOT}${path}`, join(tree, path));
  }
  settle(tree, (file) => file === join(tree, 'bin/qcow2c.js'));
  outputOf('npm', ['pack', '--ignore-scripts', '--pack-destination', TARGET, tree], { cwd: ROOT });
}

/** Of what the executable contains. */
function licences() {
  const all = [...programLicences(), { name: 'Node.js', text: nodeLicence() }];
  return all.map(({ name, text }) => `${name}\n${'='.repeat(name.length)}\n\n${text.trim()}\n`).join('\n');
}

/** @returns {string} what `sha256sum --check` reads; the image's index holds the digests of its other files */
function checksums() {
  const names = readdirSync(TARGET)
    .sort()
    .map((name) => (name.includes('-oci-') ? `${name}/index.json` : name));
  const digestOf = (name) =>
    createHash('sha256')
      .update(readFileSync(`${TARGET}/${name}`))
      .digest('hex');
  return names.map((name) => `${digestOf(name)}  ${name}\n`).join('');
}
