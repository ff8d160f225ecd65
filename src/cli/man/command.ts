/** Prints the manual page. */
import type { CommandIo } from '../command-io.js';
import { COMMANDS } from '../commands.js';
import { manualPage } from './page.js';

/** @returns the exit code */
export async function manCommand({ stdout }: Pick<CommandIo, 'stdout'>): Promise<number> {
  stdout.write(manualPage(COMMANDS.map(({ table }) => table)));
  return 0;
}
