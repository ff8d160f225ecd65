/** What `measure` was asked to do. Pure; used by the parser of the command line. */
import { internalError } from '../../errors.js';

export interface MeasureRequest {
  readonly kind: 'measure';
}

/** @throws Qcow2cError ERR_USAGE or ERR_UNSUPPORTED */
export function readMeasureWords(_operands: readonly string[], _words: object): MeasureRequest {
  throw internalError('measure is not there yet');
}
