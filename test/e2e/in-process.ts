/**
 * `qcow2c convert` without a process or threads of its own, for images by the hundred: the words are read by the command
 * line's own reader, and what workers do is done on this thread. The file that uses it has to put the in-thread pool in
 * the place of the real one (vi.mock).
 */
import { EventEmitter } from 'node:events';
import { parseCommandLine } from '../../src/cli/command-line.js';
import { convertCommand } from '../../src/cli/convert/command.js';
import { convert } from '../../src/convert/convert.js';
import { RecordedOutput } from '../cli/recorded-output.js';

/**
 * One at a time: the working directory is the process's.
 * @param args the words behind `convert`
 * @returns what it printed, on both outputs
 * @throws what the conversion throws
 */
export async function convertInProcess(args: readonly string[], cwd: string): Promise<string> {
  const request = parseCommandLine(['convert', '-m', '1', ...args]);
  if (request.kind !== 'convert') throw new Error(`no conversion: ${args.join(' ')}`);
  const [stdout, stderr] = [new RecordedOutput(), new RecordedOutput()];
  const before = process.cwd();
  process.chdir(cwd);
  try {
    await convertCommand(request, { stdout, stderr, process: new EventEmitter(), now: () => 0, convert });
  } finally {
    process.chdir(before);
  }
  return stdout.text + stderr.text;
}
