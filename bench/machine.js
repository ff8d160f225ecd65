// The machine: the programs that the benchmark needs, and the facts in its report.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, realpathSync, statfsSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { GNU_TIME } from './measure.js';

const TMPFS = 0x01021994;
const GIGABYTES_NEEDED = 8;

/** Debian packages by what they bring; libdeflate is asked for by the engine loop. */
const PROGRAMS = {
  [GNU_TIME]: 'time',
  strace: 'strace',
  'qemu-img': 'qemu-utils',
  'qemu-nbd': 'qemu-utils',
  nbdkit: 'nbdkit',
  'mkfs.ext4': 'e2fsprogs',
  dd: 'coreutils',
};

/** @param {string} program @param {string[]} args @returns {string | undefined} its first line; undefined: missing */
function firstLine(program, ...args) {
  const { error, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  return error === undefined ? (stdout + stderr).split('\n', 1)[0] : undefined;
}

/** @throws Error that names what to install or build */
export function requirePrograms() {
  const missing = Object.entries(PROGRAMS).filter(
    ([program]) => firstLine(program, '--version') === undefined,
  );
  if (missing.length > 0) {
    const packages = missing.map(([, name]) => name).join(' ');
    throw new Error(
      `${missing.map(([program]) => program).join(', ')} not found: apt-get install ${packages}`,
    );
  }
  if (!existsSync(fileURLToPath(new URL('../dist/cli.cjs', import.meta.url)))) {
    throw new Error('dist/cli.cjs not found: npm run build');
  }
}

/**
 * @param {string} path created if it does not exist
 * @returns {string} its real path
 * @throws Error when it is not on a disk or the disk is too full
 */
export function requireDisk(path) {
  mkdirSync(path, { recursive: true });
  const { type, bavail, bsize } = statfsSync(path);
  if (type === TMPFS)
    throw new Error(`${path} is in memory (tmpfs), where O_DIRECT means nothing: --dir DIR on a disk`);
  if (bavail * bsize < GIGABYTES_NEEDED * 1e9)
    throw new Error(`${path}: less than ${GIGABYTES_NEEDED} GB free`);
  return realpathSync(path);
}

/** @param {string} directory of corpora and outputs @returns {[string, string][]} name and fact */
export function machineFacts(directory) {
  const disk = firstLine('findmnt', '-n', '-o', 'SOURCE,FSTYPE,OPTIONS', '-T', directory) ?? 'unknown';
  return [
    ['CPU', `${cpus()[0]?.model.trim() ?? 'unknown'}, ${availableParallelism()} cores`],
    ['memory', `${(totalmem() / 2 ** 30).toFixed(1)} GiB`],
    ['kernel', release()],
    ['corpora and outputs on', disk],
    ['Node.js', process.version],
    ['qemu-img', firstLine('qemu-img', '--version') ?? 'unknown'],
    ['load before the runs', loadavg()[0].toFixed(2)],
    ['date', new Date().toISOString().slice(0, 10)],
  ];
}
