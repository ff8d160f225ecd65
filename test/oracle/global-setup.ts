/**
 * Runs once before all tests: every oracle must be there and work, so that no test is ever skipped for
 * want of one, and one scratch directory on a disk file system serves them all.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { mkdir, mkdtemp, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import koffi from 'koffi';
import type { TestProject } from 'vitest/node';
import { INSTALL_COMMAND, run } from './run.js';

declare module 'vitest' {
  export interface ProvidedContext {
    /** The directory, on a disk, in which every test makes its own. */
    scratch: string;
    /** Why the built command line cannot be tested, or undefined when it can. */
    notBuilt: string | undefined;
  }
}

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Each oracle by a command that proves it works, not only that it exists. */
const PROOFS: readonly (readonly [string, ...string[]])[] = [
  ['qemu-img', '--version'],
  ['qemu-io', '--version'],
  ['qemu-nbd', '--version'],
  ['qemu-storage-daemon', '--version'],
  ['nbdkit', '--version'],
  ['openssl', 'version'],
  ['xz', '--version'],
  ['7z', 'i'],
  ['qemu-x86_64', '--version'],
  ['strace', '-o', '/dev/null', 'true'],
  ['fincore', '--version'],
  ['mkfs.ext4', '-V'],
  ['bash', '--version'],
  ['zsh', '-f', '-c', 'zmodload zsh/zpty'],
  ['fish', '--version'],
  ['cc', '-include', 'stdio.h', '-xc', '-fsyntax-only', '/dev/null'],
  ['groff', '-man', '-Tutf8', '/dev/null'],
  ['systemd-analyze', '--version'],
  ['shellcheck', '--version'],
  ['parallel', '--version'],
  ['python3', '-c', 'import hashlib'],
];
const LIBRARIES = ['libisal.so.2', 'libdeflate.so.0', 'libzstd.so.1', 'libnbd.so.0'];

async function missing(): Promise<string[]> {
  const complaints = await Promise.all(
    PROOFS.map(async ([program, ...args]) => {
      const outcome = await run(program, args).catch((error: Error) => error);
      if (outcome instanceof Error) return outcome.message;
      return outcome.status === 0 ? undefined : `${program} does not work: ${outcome.stderr.trim()}`;
    }),
  );
  const libraries = LIBRARIES.map((name) => {
    try {
      koffi.load(name).unload();
      return undefined;
    } catch {
      return `${name} is not installed; run: ${INSTALL_COMMAND}`;
    }
  });
  return [...complaints, ...libraries].filter((complaint) => complaint !== undefined);
}

/** The newest modification time, in milliseconds, of any file below `directory`. */
function newest(directory: string): number {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
  return Math.max(
    0,
    ...entries.filter((e) => e.isFile()).map((e) => statSync(join(e.parentPath, e.name)).mtimeMs),
  );
}

function notBuilt(): string | undefined {
  const built = ['cli.cjs', 'index.js', 'worker.cjs'].map((name) => join(ROOT, 'dist', name));
  if (!built.every((file) => existsSync(file))) return 'dist/ is not built; run: npm run build';
  const oldest = Math.min(...built.map((file) => statSync(file).mtimeMs));
  return newest(join(ROOT, 'src')) > oldest ? 'dist/ is older than src/; run: npm run build' : undefined;
}

/** tmpfs and ramfs take any O_DIRECT write, so nothing can be proved there (their numbers: linux/magic.h). */
const MEMORY_FILE_SYSTEMS = [0x01021994, 0x858458f6];

async function makeScratch(): Promise<string> {
  for (const parent of [tmpdir(), '/var/tmp', join(ROOT, 'node_modules', '.cache')]) {
    await mkdir(parent, { recursive: true });
    if (!MEMORY_FILE_SYSTEMS.includes((await statfs(parent)).type))
      return mkdtemp(join(parent, 'qcow2c-test-'));
  }
  throw new Error('No directory for the tests is on a disk; set TMPDIR to one');
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  // Node.js 20 reads these certificates at every start, which takes longer than the start itself. No test needs them.
  delete process.env['NODE_EXTRA_CA_CERTS'];
  const complaints = await missing();
  if (complaints.length > 0) throw new Error(complaints.join('\n'));
  const scratch = await makeScratch();
  project.provide('scratch', scratch);
  project.provide('notBuilt', notBuilt());
  return () => rm(scratch, { recursive: true, force: true });
}
