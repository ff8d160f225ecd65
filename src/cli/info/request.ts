/** What `info` was asked to do. Pure; used by the parser of the command line. */
import { internalError } from '../../errors.js';

export interface InfoRequest {
  readonly kind: 'info';
}

/** @throws Qcow2cError ERR_USAGE or ERR_UNSUPPORTED */
export function readInfoWords(_operands: readonly string[], _words: object): InfoRequest {
  throw internalError('info is not there yet');
}
