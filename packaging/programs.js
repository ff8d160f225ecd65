/** The programs that make packages. */
import { spawnSync } from 'node:child_process';

/** The Debian packages of those that a system may lack. */
const PACKAGES = {
  'dpkg-deb': 'dpkg',
  strip: 'binutils',
  umoci: 'umoci',
  ldd: 'libc-bin',
  'dpkg-query': 'dpkg',
};

/**
 * Runs a program, whose standard error is shown if it fails.
 * @param {string} program @param {readonly string[]} args
 * @param {import('node:child_process').SpawnSyncOptions} [options]
 * @returns {string} its standard output
 */
export function outputOf(program, args, options = {}) {
  const { error, status, signal, stdout, stderr } = spawnSync(program, args, {
    maxBuffer: 2 ** 28,
    ...options,
    encoding: 'utf8',
  });
  if (error?.code === 'ENOENT') {
    const from = program in PACKAGES ? `; run: apt-get install ${PACKAGES[program]}` : '';
    throw new Error(`Cannot run ${program}: it is not installed${from}`);
  }
  if (error !== undefined) throw error;
  if (status === 0) return stdout;
  throw new Error(`${program} ${args.join(' ')}: ${signal ?? `exit code ${status}`}\n${stdout}${stderr}`);
}
