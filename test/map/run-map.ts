/** Runs `map` in this process and with qemu-img, for comparison. */
import { EventEmitter } from 'node:events';
import { failureText } from '../../src/cli/failure.js';
import { mapCommand } from '../../src/cli/map/command.js';
import { type MapWords, readMapWords } from '../../src/cli/map/request.js';
import { RecordedOutput } from '../cli/recorded-output.js';
import { run } from '../oracle/run.js';

interface Printed {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** As main.ts runs it. Names are looked for in the working directory. */
export async function ourMap(file: string, words: MapWords): Promise<Printed> {
  const [stdout, stderr] = [new RecordedOutput(), new RecordedOutput()];
  const io = { stdout, stderr, process: new EventEmitter(), now: () => 0 };
  try {
    const status = await mapCommand(readMapWords([file], words), io);
    return { status, stdout: stdout.text, stderr: stderr.text };
  } catch (error) {
    return { status: 1, stdout: stdout.text, stderr: failureText(error, false) };
  }
}

/** The output of qemu-img for the same words. */
export function theirMap(file: string, words: MapWords): Promise<Printed> {
  const { format, output, startOffset, maxLength } = words;
  const options = { f: format, s: startOffset, l: maxLength };
  const given = Object.entries(options).flatMap(([letter, value]) =>
    value === undefined ? [] : [`-${letter}`, value],
  );
  return run('qemu-img', ['map', `--output=${output ?? 'human'}`, ...given, file]);
}

/** The known differences from the output of qemu-img 7.2. */
export function asQemuImgPrintsIt({ status, stdout }: Printed): Pick<Printed, 'status' | 'stdout'> {
  const text = stdout
    // QEMU has this key from 8.2 on.
    .replaceAll(/, "compressed": (true|false)/g, '')
    // A line feed in a name is made visible, so that it cannot look like a row of its own.
    .replaceAll('\\x0a', '\n');
  return { status, stdout: text };
}
