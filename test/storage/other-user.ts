/** Opens targets as a user without privileges; root may do everything, so as root another user is used. */
import { execFile } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import { afterAll, beforeAll } from 'vitest';

const PACKAGES = fileURLToPath(new URL('../../node_modules', import.meta.url));
/** "nobody" of most systems. */
const NOBODY = 65_534;

/** The program of the other process: it opens a target, commits it empty, and prints the result on standard output. */
const SCRIPT = `
const [bundle, path, inPlace] = process.argv.slice(1);
const { openTarget } = await import(bundle);
try {
  const target = await openTarget(path, 'none', inPlace === 'true');
  await target.commit(0);
  console.log('"done"');
} catch ({ code, systemCode, file, message }) {
  console.log(JSON.stringify({ code, systemCode, file, message }));
}`;

interface OtherUser {
  readonly uid: number;
  /** Makes a directory, of this process's user, that the other user can access. */
  directory(name: string): string;
  /** Opens and commits a target as the other user. @returns 'done', or the error's fields */
  complete(path: string, inPlace: boolean): Promise<unknown>;
}

/** Call it once in a test file or a describe: builds the program of the other process, and cleans up. */
export function useOtherUser(): OtherUser {
  const isRoot = process.geteuid?.() === 0;
  const uid = isRoot ? NOBODY : (process.geteuid?.() ?? 0);
  const root = mkdtempSync(join(tmpdir(), 'qcow2c-other-user-'));
  chmodSync(root, 0o755);
  const bundle = join(root, 'target.mjs');
  // The other user may not be able to read this checkout.
  for (const name of ['koffi', '@koromix']) {
    cpSync(join(PACKAGES, name), join(root, 'node_modules', name), { recursive: true });
  }

  beforeAll(async () => {
    await build({
      configFile: false,
      logLevel: 'error',
      build: {
        ssr: fileURLToPath(new URL('../../src/storage/open-target.ts', import.meta.url)),
        outDir: root,
        emptyOutDir: false,
        target: 'node20',
        rollupOptions: { output: { entryFileNames: 'target.mjs' } },
      },
    });
  });
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  return {
    uid,
    directory(name) {
      const directory = join(root, name);
      mkdirSync(directory);
      return directory;
    },
    complete(path, inPlace) {
      const args = ['--input-type=module', '-e', SCRIPT, '--', bundle, path, String(inPlace)];
      return new Promise((resolve, reject) => {
        const options = { cwd: root, ...(isRoot ? { uid: NOBODY, gid: NOBODY } : {}) };
        execFile(process.execPath, args, options, (error, stdout) => {
          if (error) reject(error);
          else resolve(JSON.parse(stdout));
        });
      });
    },
  };
}
