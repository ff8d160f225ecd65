/** Prints the manual page. Used by main.ts. */
import { COMMANDS } from '../commands.js';
import { type Surroundings, THIS_PROCESS } from '../surroundings.js';
import { manualPage } from './page.js';

/** @returns the exit code */
export async function manCommand({ stdout }: Pick<Surroundings, 'stdout'> = THIS_PROCESS): Promise<number> {
  stdout.write(manualPage(COMMANDS.map(({ table }) => table)));
  return 0;
}
