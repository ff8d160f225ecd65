/** qemu-io: reads and writes single guest ranges of an image the way a virtual machine would. */
import { runOk } from './run.js';

/**
 * Runs qemu-io commands, such as `read -P 0 0 64k`, one after the other on a qcow2 image.
 * @throws when one of them fails; a pattern that does not match is a failure too
 */
export async function qemuIo(image: string, commands: readonly string[]): Promise<string> {
  const output = await runOk('qemu-io', ['-f', 'qcow2', ...commands.flatMap((line) => ['-c', line]), image]);
  if (/Pattern verification failed/.test(output)) throw new Error(`qemu-io ${image}: ${output}`);
  return output;
}
