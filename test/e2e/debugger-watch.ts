/** Sends SIGUSR1 to a Node.js process at chosen moments, and looks whether it listens for a debugger. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Outcome, start } from '../oracle/run.js';

/** A module for --require: keeps the process until its standard input ends, and then prints the debugger's address. */
export const HOLD = fileURLToPath(new URL('./hold-until-stdin-ends.cjs', import.meta.url));

const SIGUSR1_BIT = 1n << 9n;

interface Watched extends Outcome {
  /** How many of the looks found a socket that listens. */
  readonly listening: number;
  readonly looks: number;
  /** The debugger's address at the end, as the held process printed it. */
  readonly addressAtEnd: string | undefined;
}

/**
 * @param command the program under test; it must load HOLD
 * @param signals number of signals to send
 * @param looks after each signal, before the next; also before the first one
 */
export async function watchDebugger(
  command: readonly string[],
  signals: number,
  looks: number,
  env: Readonly<Record<string, string | undefined>> = {},
): Promise<Watched> {
  const [program = '', ...args] = command;
  const { child, finished } = start(program, args, { env: { NODE_OPTIONS: undefined, ...env }, held: true });
  const { pid = 0 } = child;
  let ended = false;
  const outcome = finished.finally(() => {
    ended = true;
  });
  const seen = { listening: 0, looks: 0 };
  const look = async () => {
    await turn();
    if (ended) return;
    seen.looks += 1;
    if (listens(pid)) seen.listening += 1;
  };
  // Before that nothing of Node.js has run, and a signal ends the process as it would end any other.
  while (!ended && !isGuarded(pid)) await turn();
  for (let signal = 0; signal < signals && !ended; signal += 1) {
    for (let count = 0; count < looks; count += 1) await look();
    child.kill('SIGUSR1');
  }
  for (let count = 0; count < looks; count += 1) await look();
  child.stdin?.end();
  const { stderr, ...rest } = await outcome;
  const [, before = '', address] = /^(.*)debugger at the end: (\S+)\n$/s.exec(stderr) ?? [];
  return { ...rest, ...seen, stderr: before, addressAtEnd: address };
}

/** Whether Node.js has been started in the process, by the option that every command here has, and blocks or catches SIGUSR1. */
function isGuarded(pid: number): boolean {
  if (!textOf(`/proc/${pid}/cmdline`).includes('\0--inspect')) return false;
  const masks = [...textOf(`/proc/${pid}/status`).matchAll(/^Sig(?:Blk|Cgt):\s*(\w+)$/gm)];
  return masks.some(([, mask]) => (BigInt(`0x${mask}`) & SIGUSR1_BIT) !== 0n);
}

/** Whether one of the process's descriptors is a listening TCP socket, on any port. */
function listens(pid: number): boolean {
  const LISTEN = '0A';
  const inodes = ['tcp', 'tcp6'].flatMap((table) =>
    textOf(`/proc/${pid}/net/${table}`)
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[3] === LISTEN)
      .map((fields) => `socket:[${fields[9]}]`),
  );
  return inodes.length > 0 && descriptorsOf(pid).some((target) => inodes.includes(target));
}

function descriptorsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((descriptor) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${descriptor}`);
      } catch {
        return '';
      }
    });
  } catch {
    return [];
  }
}

/** The text of a file of /proc, or nothing when the process has ended. */
function textOf(name: string): string {
  try {
    return readFileSync(name, 'utf8');
  } catch {
    return '';
  }
}
