/** Refuses --object, an option of every command of qemu-img. Used by the readers of the commands' options. */
import { Qcow2cError } from '../../errors.js';

/** @param definition the value of the option @throws Qcow2cError ERR_UNSUPPORTED if it was given */
export function refuseObject(definition: string | undefined): void {
  if (definition === undefined) return;
  throw new Qcow2cError(
    'ERR_UNSUPPORTED',
    '--object is not supported: qcow2c reads no encrypted images, and --tls-creds names the keys of NBD connections',
  );
}
