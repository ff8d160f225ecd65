/**
 * The limits that control groups (cgroups(7), both versions) set for this process: processors, memory and threads. A
 * group's limit also applies to the groups below it. Node.js 20 does not read the processor quota. A limit that cannot
 * be read or parsed counts as no limit. Used to choose threads and buffers, and to explain why a thread could not be
 * started.
 */
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { type Mount, mountsIn } from './mounts.js';

/** @returns a file's content in latin1, one character a byte, as the names are; undefined if it cannot be read */
export type ReadText = (path: string) => string | undefined;

export interface GroupLimits {
  /** Processor time divided by real time, rounded up, at least 1; undefined: no quota. */
  readonly processors: number | undefined;
  /** Bytes; undefined: no limit. */
  readonly memory: number | undefined;
}

/** A line of /proc/self/cgroup: the group of this process in one hierarchy. */
interface Membership {
  /** Of version 1; undefined: the hierarchy of version 2. */
  readonly controllers: readonly string[] | undefined;
  readonly path: string;
}

/** @param read tests replace it @returns the lowest limits of this process's groups */
export function groupLimits(read: ReadText = readSystemText): GroupLimits {
  let processors: number | undefined;
  let memory: number | undefined;
  for (const { controllers, readHere } of groupsWith(['cpu', 'memory'], read)) {
    if (controllers === undefined) {
      processors = lowestOf(processors, quotaOf(readHere('cpu.max')));
      memory = lowestOf(memory, numberOf(readHere('memory.max')), numberOf(readHere('memory.high')));
      continue;
    }
    if (controllers.includes('cpu')) {
      const quota = readHere('cpu.cfs_quota_us')?.trim();
      processors = lowestOf(processors, quotaOf(`${quota} ${readHere('cpu.cfs_period_us')}`));
    }
    if (controllers.includes('memory')) {
      memory = lowestOf(memory, numberOf(readHere('memory.limit_in_bytes')));
    }
  }
  return { processors, memory };
}

/** @returns how many processors this process may use, by its affinity and the quota of its groups */
export function availableProcessors({ processors }: Pick<GroupLimits, 'processors'>): number {
  return Math.min(availableParallelism(), processors ?? Number.POSITIVE_INFINITY);
}

/**
 * @param read tests replace it
 * @returns the lowest limit on threads and processes (pids.max) that a control group of this process has reached;
 *   undefined if none is reached
 */
export function reachedThreadLimit(read: ReadText = readSystemText): number | undefined {
  const reached = groupsWith(['pids'], read).map(({ readHere }) => {
    const limit = numberOf(readHere('pids.max'));
    const current = numberOf(readHere('pids.current'));
    return limit !== undefined && current !== undefined && current >= limit ? limit : undefined;
  });
  return lowestOf(...reached);
}

/** @returns the groups of this process that may have one of the controllers, and all groups above them */
function groupsWith(wanted: readonly string[], read: ReadText) {
  const mounts = mountsIn(read('/proc/self/mountinfo') ?? '');
  return membershipsIn(read('/proc/self/cgroup') ?? '')
    .filter(
      ({ controllers }) => controllers === undefined || wanted.some((name) => controllers.includes(name)),
    )
    .flatMap((membership) =>
      groupsOf(membership, mounts).map((group) => ({
        controllers: membership.controllers,
        readHere: (file: string) => read(`${group}/${file}`),
      })),
    );
}

function readSystemText(path: string): string | undefined {
  const name = Buffer.from(path, 'latin1');
  // Most groups have few of the files. The existence check avoids Node.js's first error, which takes milliseconds.
  if (!existsSync(name)) return undefined;
  try {
    return readFileSync(name, 'latin1');
  } catch {
    return undefined;
  }
}

/** proc_pid_cgroup(5): `ID:CONTROLLERS:PATH`, version 2 without controllers. */
function membershipsIn(text: string): Membership[] {
  const found: Membership[] = [];
  for (const line of text.split('\n')) {
    const [, id, controllers, path] = /^(\d+):([^:]*):(\/.*)$/.exec(line) ?? [];
    if (id === undefined || controllers === undefined || path === undefined) continue;
    if (controllers !== '') found.push({ controllers: controllers.split(','), path });
    else if (id === '0') found.push({ controllers: undefined, path });
  }
  return found;
}

/** @returns the directories of a group and of all groups above it, if they are mounted */
function groupsOf({ controllers, path }: Membership, mounts: readonly Mount[]): string[] {
  // A path with '..' leads out of the container, where the group is not visible.
  if (path.split('/').includes('..')) return [];
  const isOf = ({ type, options }: Mount) =>
    controllers === undefined
      ? type === 'cgroup2'
      : type === 'cgroup' && controllers.every((controller) => options.includes(controller));
  const isAbove = ({ root }: Mount) => root === '/' || root === path || path.startsWith(`${root}/`);
  // If several are mounted at the same point, the last hides the others.
  const mount = mounts.findLast((candidate) => isOf(candidate) && isAbove(candidate));
  if (mount === undefined) return [];
  const below = mount.root === '/' ? path : path.slice(mount.root.length);
  const names = below.split('/').filter((name) => name !== '');
  return [mount.point, ...names.map((_, index) => [mount.point, ...names.slice(0, index + 1)].join('/'))];
}

/** @param text microseconds of processor time, and the period in microseconds; `max` or -1: no quota */
function quotaOf(text: string | undefined): number | undefined {
  const [, quota, period] = /^(\d{1,15}) (\d{1,15})\n?$/.exec(text ?? '') ?? [];
  if (quota === undefined || period === undefined || Number(period) === 0) return undefined;
  return Math.max(1, Math.ceil(Number(quota) / Number(period)));
}

/** @param text bytes or threads. No limit is `max`, or in version 1 the highest number of whole pages. */
function numberOf(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,20}\n?$/.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** @returns the lowest known limit */
function lowestOf(...limits: readonly (number | undefined)[]): number | undefined {
  const known = limits.filter((limit) => limit !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}
