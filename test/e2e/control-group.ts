/** Control groups with limits for tests, of the version that this machine has. Only for root. */
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runOk } from '../oracle/run.js';

interface Limits {
  /** Bytes. */
  readonly memory?: number | undefined;
  /** Processors' worth of time. */
  readonly processors?: number | undefined;
}

interface ControlGroup {
  /** A command that runs another in the group. */
  readonly under: readonly string[];
  /** The same in namespaces of its own, in which the group is the root, as in a container. */
  readonly contained: readonly string[];
  /** How often the kernel has killed a process of the group for its memory. */
  kills(): number;
  /** Most memory that was charged to the group, page cache included, in bytes. */
  mostMemory(): number;
}

/** Where the controllers are mounted; the same directory twice with version 2. */
interface Mounts {
  readonly version: 1 | 2;
  readonly cpu: string;
  readonly memory: string;
}

const PERIOD = 100_000;

function findMounts(): Mounts | undefined {
  let [cpu, memory, unified]: (string | undefined)[] = [];
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [place, rest = ''] = line.split(' - ');
    const point = place?.split(' ')[4];
    const [type, , options = ''] = rest.split(' ');
    if (type === 'cgroup2') unified = point;
    if (type !== 'cgroup') continue;
    if (options.split(',').includes('cpu')) cpu = point;
    if (options.split(',').includes('memory')) memory = point;
  }
  if (cpu !== undefined && memory !== undefined) return { version: 1, cpu, memory };
  return unified === undefined ? undefined : { version: 2, cpu: unified, memory: unified };
}

/** Why there can be no group on this machine, or undefined when there can. */
export function noControlGroups(): string | undefined {
  if (process.getuid?.() !== 0) return 'not root';
  try {
    const mounts = findMounts();
    if (mounts === undefined) return 'none are mounted';
    makeGroup(mounts, {}).remove();
    return undefined;
  } catch (error) {
    return String(error);
  }
}

/** Makes a group for as long as `use` runs; no process may be left in it then. */
export async function withControlGroup(
  limits: Limits,
  use: (group: ControlGroup) => Promise<void>,
): Promise<void> {
  const mounts = findMounts();
  if (mounts === undefined) throw new Error('no control groups');
  const { group, remove } = makeGroup(mounts, limits);
  try {
    await use(group);
  } finally {
    remove();
  }
}

/**
 * Makes a group of version 2 for as long as `use` runs, in a tree that is mounted for it, on machines whose controllers
 * are all of version 1: its place in the tree is real, and its files, which such a machine does not have, are put
 * over it.
 * @param directory an empty one, for the files and the tree
 * @param use is given a command that runs another in the group
 */
export async function withForgedGroup(
  directory: string,
  files: Readonly<Record<string, string>>,
  use: (under: readonly string[]) => Promise<void>,
): Promise<void> {
  const [tree, forged] = [join(directory, 'tree'), join(directory, 'files')];
  for (const made of [tree, forged]) mkdirSync(made);
  for (const [name, content] of Object.entries(files)) writeFileSync(join(forged, name), `${content}\n`);
  const group = join(tree, `qcow2c-forged-${process.pid}`);
  const inTree = (script: string) => [
    'unshare',
    '--mount',
    'sh',
    '-ec',
    `mount -t cgroup2 none '${tree}'; ${script}`,
  ];
  const enter = `echo $$ > '${group}/cgroup.procs'; mount --bind '${forged}' '${group}'`;
  await runOk('unshare', inTree(`mkdir '${group}'`).slice(1));
  try {
    await use(inTree(`${enter}; exec "$0" "$@"`));
  } finally {
    await runOk('unshare', inTree(`rmdir '${group}'`).slice(1));
  }
}

/** Whether the machine's controllers are of version 2, and need no forging. */
export function hasUnifiedGroups(): boolean {
  return findMounts()?.version === 2;
}

function makeGroup(mounts: Mounts, { memory, processors }: Limits) {
  const { version } = mounts;
  const name = `qcow2c-test-${process.pid}`;
  const directories = [...new Set([join(mounts.cpu, name), join(mounts.memory, name)])];
  if (version === 2) writeFileSync(join(mounts.cpu, 'cgroup.subtree_control'), '+cpu +memory');
  for (const directory of directories) mkdirSync(directory);
  const remove = () => {
    for (const directory of directories) rmdirSync(directory);
  };
  const cpu = (file: string) => join(mounts.cpu, name, file);
  const ofMemory = (file: string) => join(mounts.memory, name, file);
  try {
    if (processors !== undefined && version === 1) {
      writeFileSync(cpu('cpu.cfs_period_us'), `${PERIOD}`);
      writeFileSync(cpu('cpu.cfs_quota_us'), `${processors * PERIOD}`);
    }
    if (processors !== undefined && version === 2)
      writeFileSync(cpu('cpu.max'), `${processors * PERIOD} ${PERIOD}`);
    if (memory !== undefined)
      writeFileSync(ofMemory(version === 1 ? 'memory.limit_in_bytes' : 'memory.max'), `${memory}`);
  } catch (error) {
    remove();
    throw error;
  }
  const enter = directories.map((directory) => `echo $$ > '${directory}/cgroup.procs'`).join(' && ');
  const again = (point: string, type: string) => `umount '${point}' && mount -t ${type} cgroup '${point}'`;
  const mount =
    version === 1
      ? `${again(mounts.cpu, 'cgroup -o cpu')} && ${again(mounts.memory, 'cgroup -o memory')}`
      : again(mounts.cpu, 'cgroup2');
  const inside = ['unshare', '--mount', '--cgroup', 'sh', '-c', `${mount} && exec "$0" "$@"`];
  const under = ['sh', '-c', `${enter} && exec "$0" "$@"`];
  const group: ControlGroup = {
    under,
    contained: [...under, ...inside],
    kills: () => {
      const events = readFileSync(ofMemory(version === 1 ? 'memory.oom_control' : 'memory.events'), 'utf8');
      return Number(/^oom_kill (\d+)$/m.exec(events)?.[1]);
    },
    mostMemory: () =>
      Number(readFileSync(ofMemory(version === 1 ? 'memory.max_usage_in_bytes' : 'memory.peak'), 'utf8')),
  };
  return { group, remove };
}
