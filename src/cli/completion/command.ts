/** Prints the script for a shell. Used by main.ts. */
import { COMMANDS } from '../commands.js';
import type { CommandTable } from '../option-table.js';
import { type Surroundings, THIS_PROCESS } from '../surroundings.js';
import { bashScript } from './bash.js';
import { fishScript } from './fish.js';
import type { CompletionRequest } from './request.js';
import { zshScript } from './zsh.js';

const SCRIPTS: Readonly<Record<CompletionRequest['shell'], (tables: readonly CommandTable[]) => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
};

/** @returns the exit code */
export async function completionCommand(
  { shell }: CompletionRequest,
  { stdout }: Pick<Surroundings, 'stdout'> = THIS_PROCESS,
): Promise<number> {
  stdout.write(SCRIPTS[shell](COMMANDS.map(({ table }) => table)));
  return 0;
}
