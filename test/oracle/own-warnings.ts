/** Warnings of qcow2c that QEMU does not print: removed before the outputs are compared. */

const CUT_DISK = /^qcow2c: warning: the virtual size of .*, is not a multiple of 512: .*\n/gm;

/** @param text of standard error */
export function withoutOwnWarnings(text: string): string {
  return text.replace(CUT_DISK, '');
}
