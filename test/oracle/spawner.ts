/** Runs programs by way of a small process of its own: see spawner.mjs. */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

interface SpawnRequest {
  readonly program: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdin: string | undefined;
}

export interface Spawned {
  /** The exit code, or null when a signal ended the program. */
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Answer {
  readonly id: number;
  readonly outcome?: Spawned;
  readonly error?: { readonly code?: string; readonly message: string };
}

interface Waiting {
  resolve(outcome: Spawned): void;
  reject(error: Error): void;
}

const PROGRAM = fileURLToPath(new URL('spawner.mjs', import.meta.url));
const waiting = new Map<number, Waiting>();
let spawner: ChildProcess | undefined;
let last = 0;

/** @returns how the program ended; rejects with the system's error when it cannot start */
export function spawnAside(request: SpawnRequest): Promise<Spawned> {
  spawner ??= startSpawner();
  const { channel } = spawner;
  last += 1;
  const id = last;
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    channel?.ref();
    spawner?.send({ id, ...request });
  });
}

/** It ends with this process, which it does not keep going. */
function startSpawner(): ChildProcess {
  const child = fork(PROGRAM, [], { execArgv: [], serialization: 'advanced' });
  child.unref();
  child.channel?.unref();
  child.on('message', ({ id, outcome, error }: Answer) => {
    const { resolve, reject } = waiting.get(id)!;
    waiting.delete(id);
    if (waiting.size === 0) child.channel?.unref();
    if (outcome !== undefined) resolve(outcome);
    else reject(Object.assign(new Error(error?.message), { code: error?.code }));
  });
  child.on('exit', () => {
    spawner = undefined;
    for (const { reject } of waiting.values())
      reject(new Error('the process that starts programs has ended'));
    waiting.clear();
  });
  return child;
}
