/**
 * Which format a file's first bytes announce. A raw disk has no mark of its own: it is what is left when
 * nothing else is recognised.
 */
import { Qcow2cError, quoted } from '../errors.js';

/** Bytes to look at: the longest distance at which a known format has its mark. */
export const PROBE_BYTES = 512;

interface Mark {
  readonly format: string;
  readonly at: number;
  readonly bytes: string;
}

/** Marks of the formats that QEMU recognises by their first sector, as their specifications give them. */
const MARKS: readonly Mark[] = [
  { format: 'qcow', at: 0, bytes: 'QFI\xfb\x00\x00\x00\x01' },
  { format: 'qcow2', at: 0, bytes: 'QFI\xfb' },
  { format: 'qed', at: 0, bytes: 'QED\0' },
  { format: 'vmdk', at: 0, bytes: 'KDMV' },
  { format: 'vmdk', at: 0, bytes: 'COWD' },
  { format: 'vmdk', at: 0, bytes: '# Disk DescriptorFile' },
  { format: 'vdi', at: 64, bytes: '\x7f\x10\xda\xbe' },
  { format: 'vhdx', at: 0, bytes: 'vhdxfile' },
  { format: 'vpc', at: 0, bytes: 'conectix' },
  { format: 'luks', at: 0, bytes: 'LUKS\xba\xbe' },
  { format: 'parallels', at: 0, bytes: 'WithoutFreeSpace' },
  { format: 'parallels', at: 0, bytes: 'WithouFreSpacExt' },
];

/**
 * @param start the file's first PROBE_BYTES bytes, or all of a shorter file
 * @param file the file's name, for the message
 * @throws Qcow2cError ERR_UNSUPPORTED for a format that is recognised but not read
 */
export function probeFormat(start: Uint8Array, file: string): 'raw' | 'qcow2' {
  const text = Buffer.from(start).toString('latin1');
  const found = MARKS.find(({ at, bytes }) => text.startsWith(bytes, at))?.format ?? 'raw';
  if (found === 'raw' || found === 'qcow2') return found;
  throw new Qcow2cError(
    'ERR_UNSUPPORTED',
    `${quoted(file)} looks like a ${found} image, which qcow2c does not read; if it is a raw disk, say so with -f raw`,
    { file, found, expected: 'raw or qcow2' },
  );
}
