/** A root directory that holds programs and the libraries that they load, and no other file of this system. */
import { cp, mkdir, realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { runOk } from '../oracle/run.js';

const OPTIONAL = ['libdeflate.so.0', 'libisal.so.2', 'libzstd.so.1', 'libnbd.so.0'];

/**
 * Makes the root.
 * @param programs files of this system, by their names in the root; the optional libraries come along
 */
export async function makeSystemRoot(
  root: string,
  programs: Readonly<Record<string, string>>,
): Promise<void> {
  const cached = await runOk('ldconfig', ['-p']);
  const optional = OPTIONAL.map((name) => new RegExp(`^\\s${name} .*=> (.*)$`, 'm').exec(cached)![1]!);
  const loaded = await runOk('ldd', [...Object.values(programs), ...optional]);
  const needed = [...loaded.matchAll(/(\/\S+) \(0x/g)].map(([, file]) => file!);
  const libraries = [...new Set([...optional, ...needed])].map((file) => [file, file] as const);
  for (const [name, file] of [...libraries, ...Object.entries(programs)]) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await cp(await realpath(file), join(root, name));
  }
  await mkdir(join(root, 'tmp'), { recursive: true });
}
