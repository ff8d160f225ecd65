/** Installations of the built program in which packages are missing. */
import { cp, mkdir, readdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT } from './cli.js';

/** Copies what npm would publish and links every installed package but `missing`. @returns its program */
export async function installWithout(missing: readonly string[], into: string): Promise<string> {
  await mkdir(join(into, 'node_modules'), { recursive: true });
  for (const part of ['bin', 'dist', 'package.json'])
    await cp(join(ROOT, part), join(into, part), { recursive: true });
  for (const name of await readdir(join(ROOT, 'node_modules'))) {
    if (name.startsWith('.') || missing.includes(name)) continue;
    await symlink(join(ROOT, 'node_modules', name), join(into, 'node_modules', name));
  }
  return join(into, 'bin', 'qcow2c.js');
}
