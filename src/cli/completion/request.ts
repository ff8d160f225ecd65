/** What `completion` was asked to do. Pure; used by the parser of the command line. */
import { internalError } from '../../errors.js';

export interface CompletionRequest {
  readonly kind: 'completion';
}

/** @throws Qcow2cError ERR_USAGE or ERR_UNSUPPORTED */
export function readCompletionWords(_operands: readonly string[], _words: object): CompletionRequest {
  throw internalError('completion is not there yet');
}
