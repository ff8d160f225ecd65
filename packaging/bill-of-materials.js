/** The SBOM: the packages that the program uses at run time, as `npm sbom` lists them in CycloneDX form. */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { put } from './file-tree.js';
import { outputOf } from './programs.js';
import { DATE, MANIFEST, ROOT } from './release.js';

const COMMAND = ['sbom', '--package-lock-only', '--sbom-format=cyclonedx', '--sbom-type=application'];

/**
 * @param {string} target the file
 * @param {string} project a directory that is made: the project without what makes and tests it, because
 *   `npm sbom --omit=dev` leaves out what both use
 */
export function makeBillOfMaterials(target, project) {
  const lock = JSON.parse(readFileSync(`${ROOT}package-lock.json`, 'utf8'));
  const { devDependencies: _, ...own } = lock.packages[''];
  const others = Object.entries(lock.packages).filter(([name, { dev }]) => name !== '' && !dev);
  const packages = { '': own, ...Object.fromEntries(others) };
  put(join(project, 'package-lock.json'), JSON.stringify({ ...lock, packages }));
  put(join(project, 'package.json'), JSON.stringify({ ...MANIFEST, devDependencies: {} }));

  const { $schema, bomFormat, specVersion, version, metadata, ...materials } = JSON.parse(
    outputOf('npm', COMMAND, { cwd: project }),
  );
  const component = { ...metadata.component, name: MANIFEST.name };
  const dated = {
    version,
    metadata: { ...metadata, timestamp: DATE.toISOString(), component },
    ...materials,
  };
  // Instead of npm's random number.
  const digest = createHash('sha256')
    .update(JSON.stringify({ ...dated, serialNumber: '' }))
    .digest('hex');
  const serialNumber = `urn:uuid:${digest.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/, '$1-$2-8$3-8$4-$5')}`;
  writeFileSync(
    target,
    `${JSON.stringify({ $schema, bomFormat, specVersion, ...dated, serialNumber }, null, 2)}\n`,
  );
}
