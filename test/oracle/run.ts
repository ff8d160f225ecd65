/**
 * Runs another program and returns its output. Used for the oracles and for the built command line; never uses a shell,
 * so file names need no quoting.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { type Spawned, spawnAside } from './spawner.js';

export type Outcome = Spawned;

export interface RunOptions {
  readonly cwd?: string | undefined;
  /** Added to this process's environment; undefined removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  readonly stdin?: string | undefined;
  /** Its standard input stays open until the caller ends it. */
  readonly held?: boolean | undefined;
}

export interface Running {
  readonly child: ChildProcess;
  readonly finished: Promise<Outcome>;
}

/** The Debian packages of the programs the tests need, and the command that installs all of them. */
const PACKAGES: Readonly<Record<string, string>> = {
  'qemu-img': 'qemu-utils',
  'qemu-io': 'qemu-utils',
  'qemu-system-x86_64': 'qemu-system-x86',
  'qemu-x86_64': 'qemu-user',
  '7z': 'p7zip-full',
  strace: 'strace',
  fincore: 'util-linux-extra',
  getfacl: 'acl',
  setfacl: 'acl',
  getfattr: 'attr',
  setfattr: 'attr',
  'mkfs.ext4': 'e2fsprogs',
  zsh: 'zsh',
  fish: 'fish',
  groff: 'groff',
  python3: 'python3',
  cc: 'gcc libc6-dev',
  'qemu-nbd': 'qemu-utils',
  'qemu-storage-daemon': 'qemu-system-common',
  nbdkit: 'nbdkit',
  openssl: 'openssl',
  'systemd-analyze': 'systemd',
  shellcheck: 'shellcheck',
  lintian: 'lintian',
  umoci: 'umoci',
  parallel: 'parallel',
  debootstrap: 'debootstrap',
  xz: 'xz-utils',
};
export const INSTALL_COMMAND =
  'apt-get install qemu-utils qemu-system-x86 qemu-user p7zip-full strace util-linux-extra acl attr e2fsprogs zsh fish groff python3 gcc libc6-dev systemd shellcheck lintian umoci parallel debootstrap nbdkit qemu-system-common xz-utils openssl libnbd0 libisal2 libdeflate0 libzstd1';

/** Programs of the system administrator (mkfs, losetup) are not on everybody's PATH. */
const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;

/** Starts `program`; `finished` resolves with any exit code, and rejects only if it cannot start. */
export function start(program: string, args: readonly string[], options: RunOptions = {}): Running {
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: environment(options),
    stdio: [options.stdin === undefined && !options.held ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  });
  if (!options.held) child.stdin?.end(options.stdin);
  const finished = new Promise<Outcome>((resolve, reject) => {
    const output = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name]?.setEncoding('utf8').on('data', (text: string) => {
        output[name] += text;
      });
    }
    child.on('error', (error) => reject(startError(program, error)));
    child.on('close', (status, signal) => resolve({ status, signal, ...output }));
  });
  return { child, finished };
}

function environment({ env }: RunOptions): NodeJS.ProcessEnv {
  return { ...process.env, PATH, LC_ALL: 'C', ...env };
}

function startError(program: string, error: NodeJS.ErrnoException): Error {
  if (error.code !== 'ENOENT') return error;
  const install = program in PACKAGES ? `; run: ${INSTALL_COMMAND}` : '';
  return new Error(`Cannot run ${program}: it is not installed${install}`);
}

/** Runs `program` to its end, with any exit code. */
export function run(
  program: string,
  args: readonly string[],
  { cwd = process.cwd(), stdin, ...options }: Omit<RunOptions, 'held'> = {},
): Promise<Outcome> {
  return spawnAside({ program, args, cwd, env: environment(options), stdin }).catch((error) => {
    throw startError(program, error);
  });
}

/** Runs `program`, which must succeed, and returns its standard output. */
export async function runOk(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const outcome = await run(program, args, options);
  if (outcome.status === 0) return outcome.stdout;
  const end = outcome.signal ?? `exit code ${outcome.status}`;
  throw new Error(`${program} ${args.join(' ')}: ${end}\n${outcome.stdout}${outcome.stderr}`);
}
