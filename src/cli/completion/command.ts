/** Runs `completion`. Returns the exit code. Used by main.ts. */
import { internalError } from '../../errors.js';
import { type Surroundings, THIS_PROCESS } from '../surroundings.js';
import type { CompletionRequest } from './request.js';

/** @returns the exit code @throws what is to be printed as an error with exit code 1 */
export async function completionCommand(
  _request: CompletionRequest,
  _surroundings: Surroundings = THIS_PROCESS,
): Promise<number> {
  throw internalError('completion is not there yet');
}
