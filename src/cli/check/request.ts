/** What `check` was asked to do. Pure; used by the parser of the command line. */
import { internalError } from '../../errors.js';

export interface CheckRequest {
  readonly kind: 'check';
}

/** @throws Qcow2cError ERR_USAGE or ERR_UNSUPPORTED */
export function readCheckWords(_operands: readonly string[], _words: object): CheckRequest {
  throw internalError('check is not there yet');
}
