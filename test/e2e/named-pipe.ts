/** Streams for runs of qcow2c in the process of the test: only standard input itself needs a process of its own. */
import { closeSync, constants, openSync, rmSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { runOk } from '../oracle/run.js';

export interface NamedPipe {
  /** Its path. It is made for the run and removed afterwards. */
  readonly fifo: string;
  /** The shell command whose standard output goes into the pipe. */
  readonly command: string;
}

/** @returns the result of `read`, while the command writes to the pipe */
export async function whileWriting<Result>(
  { fifo, command }: NamedPipe,
  read: () => Promise<Result>,
): Promise<Result> {
  await runOk('mkfifo', [fifo]);
  let isWriting = true;
  const writing = runOk('sh', ['-c', `{ ${command}; } > "$0" 2> /dev/null || true`, fifo]).finally(() => {
    isWriting = false;
  });
  try {
    return await read();
  } finally {
    // A run that was refused did not open the pipe: the writer then waits for a reader.
    while (isWriting) {
      closeSync(openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK));
      await Promise.race([writing, wait(20)]);
    }
    rmSync(fifo);
  }
}
