/** Prints the script for a shell. */
import type { CommandIo } from '../command-io.js';
import { COMMANDS } from '../commands.js';
import type { CommandTable } from '../options/option-table.js';
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
  { stdout }: Pick<CommandIo, 'stdout'>,
): Promise<number> {
  stdout.write(SCRIPTS[shell](COMMANDS.map(({ table }) => table)));
  return 0;
}
