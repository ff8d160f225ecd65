/** Prints the manual page. Used by main.ts. */
import { type CommandIo, THIS_PROCESS } from '../command-io.js';
import { COMMANDS } from '../commands.js';
import { manualPage } from './page.js';

/** @returns the exit code */
export async function manCommand({ stdout }: Pick<CommandIo, 'stdout'> = THIS_PROCESS): Promise<number> {
  stdout.write(manualPage(COMMANDS.map(({ table }) => table)));
  return 0;
}
