/** Streams for runs of qcow2c in the process of the test: only standard input itself needs a process of its own. */
import { rmSync } from 'node:fs';
import { runOk, start } from '../oracle/run.js';

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
  const writer = start('sh', ['-c', `{ ${command}; } > "$0" 2> /dev/null`, fifo]);
  try {
    return await read();
  } finally {
    // A run that was refused did not open the pipe: the writer still waits for a reader.
    writer.child.kill('SIGKILL');
    await writer.finished;
    rmSync(fifo);
  }
}
