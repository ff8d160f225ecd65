/** The request of `man`. Pure; used by the parser of the command line. */
import { usageError } from '../../errors.js';

export interface ManRequest {
  readonly kind: 'man';
}

/** @throws Qcow2cError ERR_USAGE */
export function readManWords(operands: readonly string[]): ManRequest {
  if (operands.length > 0) throw usageError("Expecting no argument; there is one page, 'qcow2c man'");
  return { kind: 'man' };
}
