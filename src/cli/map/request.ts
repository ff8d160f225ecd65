/** What `map` was asked to do. Pure; used by the parser of the command line. */
import { internalError } from '../../errors.js';

export interface MapRequest {
  readonly kind: 'map';
}

/** @throws Qcow2cError ERR_USAGE or ERR_UNSUPPORTED */
export function readMapWords(_operands: readonly string[], _words: object): MapRequest {
  throw internalError('map is not there yet');
}
