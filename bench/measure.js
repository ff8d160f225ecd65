// Runs one command and measures it from outside: the counted runs (GNU time) and the traced run (strace).
import { spawnSync } from 'node:child_process';
import { createReadStream, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** @typedef {import('./bars.js').Sample} Sample */

/**
 * Debian's time package. Node cannot ask for the resource usage of its children, and a child forked by Node
 * would inherit Node's own size as its peak: this small program in between has neither problem.
 */
export const GNU_TIME = '/usr/bin/time';

/**
 * Runs a command and writes the CPU time of its children into the file named first: GNU time counts in hundredths of a
 * second, which is too coarse for the start of Node.
 */
const WITH_CPU_TIME = 'usage=$1; shift; "$@"; code=$?; times > "$usage"; exit $code';

/** Calls that put bytes into a file; only those on a file below the output directory are counted. */
const WRITE_CALLS = ['write', 'pwrite64', 'writev', 'pwritev', 'pwritev2'];

/** @param {string[]} argv @returns {number} wall time in seconds @throws Error when the command fails */
function run([program, ...args]) {
  const start = process.hrtime.bigint();
  const { status, error, stderr } = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 2 ** 30 });
  const wall = Number(process.hrtime.bigint() - start) / 1e9;
  if (status !== 0) throw new Error(`${[program, ...args].join(' ')}: ${error?.message ?? stderr.trim()}`);
  return wall;
}

/** @param {string} path @returns {number} bytes, 0 if the file does not exist */
function sizeOf(path) {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/**
 * Takes the last run's output away and waits until the disk has taken all dirty pages, so that no run pays
 * for the one before.
 * @param {string} target
 */
function settle(target) {
  rmSync(target, { force: true });
  run(['sync']);
}

/** @param {string} times of bash: its own, then its children's, each as "0m0.123s 0m0.045s" */
function cpuSeconds(times) {
  const [, children] = times.trim().split('\n');
  const parts = [...children.matchAll(/(\d+)m([\d.]+)s/g)];
  return parts.reduce((sum, [, minutes, seconds]) => sum + 60 * Number(minutes) + Number(seconds), 0);
}

/**
 * @param {string[]} argv @param {string} target what the command writes; it stays
 * @param {string} directory for the measurement's own files
 * @returns {Sample}
 */
export function timedRun(argv, target, directory) {
  const [peak, cpu] = ['time.out', 'times.out'].map((name) => join(directory, name));
  settle(target);
  // Node gives its children sockets, so bash takes itself for a remote shell and would run ~/.bashrc, as slow as it may be.
  const counted = ['bash', '--norc', '-c', WITH_CPU_TIME, 'bash', cpu, ...argv];
  const wall = run([GNU_TIME, '-q', '-f', '%M', '-o', peak, ...counted]);
  const peakKiB = Number(readFileSync(peak, 'utf8'));
  return { wall, cpu: cpuSeconds(readFileSync(cpu, 'utf8')), peak: peakKiB * 1024, size: sizeOf(target) };
}

/**
 * @param {string[]} argv @param {string} target what the command writes; it stays
 * @param {string} directory all files below it count as the target, for a target may be written under
 *   another name first
 * @returns {Promise<number>} write calls of all threads on the target
 */
export async function countWrites(argv, target, directory) {
  const trace = join(directory, 'strace.out');
  settle(target);
  // -y names each descriptor's file; --seccomp-bpf stops the process at these calls only.
  const options = ['-f', '-y', '-s', '0', '--seccomp-bpf', '-e', `trace=${WRITE_CALLS}`, '-e', 'signal=none'];
  run(['strace', ...options, '-o', trace, ...argv]);
  // A call that another thread interrupts is shown twice; only its first line has the name before the bracket.
  const call = new RegExp(`^\\d+ +(?:${WRITE_CALLS.join('|')})\\(\\d+<(.*?)>`);
  let count = 0;
  for await (const line of createInterface({ input: createReadStream(trace) })) {
    if (line.match(call)?.[1].startsWith(`${directory}/`)) count++;
  }
  rmSync(trace);
  return count;
}
