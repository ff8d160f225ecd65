/** What `compare` was asked to do. Pure; used by the parser of the command line. */
import { internalError } from '../../errors.js';

export interface CompareRequest {
  readonly kind: 'compare';
}

/** @throws Qcow2cError ERR_USAGE or ERR_UNSUPPORTED */
export function readCompareWords(_operands: readonly string[], _words: object): CompareRequest {
  throw internalError('compare is not there yet');
}
