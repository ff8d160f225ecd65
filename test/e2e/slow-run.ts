/** Conversions that certainly still run when a test acts on them. */
import type { Running } from '../oracle/run.js';
import { injecting } from './cli.js';

/**
 * A command under which every read of `source` takes 50 ms, so that a run of some ten MiB is slower than
 * anything a test does meanwhile. strace stays in the background (-D): the child is qcow2c itself.
 */
export function slowReads(source: string): string[] {
  return injecting('pread64,preadv', 'delay_enter=50000', ['-D', '-P', source]);
}

/** Resolves when a run with --progress=json,0.1 has reported that part of the guest is done; throws if it ends before. */
export async function untilProgress({ child, finished }: Running): Promise<void> {
  let text = '';
  const progress = new Promise<void>((resolve) => {
    child.stderr?.on('data', (chunk: string) => {
      text += chunk;
      if (/"guestBytesDone":[1-9]/.test(text)) resolve();
    });
  });
  const early = finished.then((outcome) => {
    throw new Error(`the run ended before its first progress: ${JSON.stringify(outcome)}`);
  });
  await Promise.race([progress, early]);
  // When the run ends later, that is no concern of this promise any more.
  early.catch(() => {});
}
