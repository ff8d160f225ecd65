/**
 * Probes the format of an image from its first bytes. Raw disks have no magic number: a file is raw if no other format
 * matches.
 */
import { Qcow2cError, quoted } from '../errors.js';
import { type FormatOrigin, formatStatement } from './unstated-format.js';

/** Bytes needed to probe: the farthest end of a magic number. */
export const PROBE_BYTES = 512;

interface Mark {
  readonly format: string;
  readonly at: number;
  readonly bytes: string;
}

/** Magic numbers of the formats that QEMU recognises in the first sector, from their specifications. */
const IMAGE_MARKS: readonly Mark[] = [
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

/** Products by which users know a format better than by QEMU's name. */
const KNOWN_AS: Readonly<Record<string, string>> = {
  vmdk: 'VMware',
  vdi: 'VirtualBox',
  vhdx: 'Hyper-V',
  vpc: 'VHD, of Virtual PC and Hyper-V',
};

/** A skippable frame of zstd may come first; the low four bits of its magic number are free. */
const SKIPPABLE_FRAMES = Array.from({ length: 16 }, (_, bits) => String.fromCharCode(0x50 + bits));

/** Magic numbers of compressed files, from their specifications. A disk hardly ever begins with one. */
const COMPRESSED_MARKS: readonly Mark[] = [
  { format: 'gzip', at: 0, bytes: '\x1f\x8b\x08' },
  { format: 'xz', at: 0, bytes: '\xfd7zXZ\0' },
  { format: 'zstd', at: 0, bytes: '\x28\xb5\x2f\xfd' },
  ...SKIPPABLE_FRAMES.map((first) => ({ format: 'zstd', at: 0, bytes: `${first}\x2a\x4d\x18` })),
  // A digit for the level precedes this magic number. The second one is that of an empty file.
  { format: 'bzip2', at: 4, bytes: '1AY&SY' },
  { format: 'bzip2', at: 4, bytes: '\x17rE8P\x90' },
  { format: 'lz4', at: 0, bytes: '\x04\x22\x4d\x18' },
  { format: 'lzip', at: 0, bytes: 'LZIP\x01' },
  { format: 'lzop', at: 0, bytes: '\x89LZO\0\r\n\x1a\n' },
  { format: 'zip', at: 0, bytes: 'PK\x03\x04' },
  { format: '7z', at: 0, bytes: '7z\xbc\xaf\x27\x1c' },
];

/** Commands that decompress a file to standard output. */
const UNPACKER: Readonly<Record<string, string>> = {
  gzip: 'zcat',
  xz: 'xzcat',
  zstd: 'zstdcat',
  bzip2: 'bzcat',
  lz4: 'lz4cat',
  lzip: 'lzip -dc',
  lzop: 'lzop -dc',
  zip: 'unzip -p',
  '7z': '7z e -so',
};

/**
 * @param start the file's first PROBE_BYTES bytes, or all of a shorter file
 * @param file the file's name, for the message
 * @param origin for the message
 * @returns raw if no other format matches
 * @throws Qcow2cError ERR_UNSUPPORTED for a known image format that qcow2c does not read, and for a compressed file
 */
export function probeFormat(start: Uint8Array, file: string, origin: FormatOrigin = {}): 'raw' | 'qcow2' {
  const text = Buffer.from(start).toString('latin1');
  const isThere = ({ at, bytes }: Mark) => text.startsWith(bytes, at);
  const image = IMAGE_MARKS.find(isThere)?.format ?? 'raw';
  if (image === 'qcow2') return image;
  if (image !== 'raw') throw otherImage(image, file, origin);
  const compressed = COMPRESSED_MARKS.find(isThere)?.format;
  if (compressed === undefined || (compressed === 'bzip2' && !/^BZh[1-9]/.test(text))) return 'raw';
  throw compressedFile(compressed, file, origin);
}

function otherImage(format: string, file: string, origin: FormatOrigin): Qcow2cError {
  const knownAs = KNOWN_AS[format];
  const name = knownAs === undefined ? '' : ` (${knownAs})`;
  const instead =
    format === 'luks'
      ? "decrypt it first, with 'qemu-img convert --object secret,... --image-opts ...'"
      : `convert it to qcow2 first: 'qemu-img convert -f ${format} -O qcow2'`;
  const what = `looks like a ${format} image${name}, which qcow2c does not read; ${instead}`;
  return refusal(format, file, what, origin);
}

function compressedFile(format: string, file: string, origin: FormatOrigin): Qcow2cError {
  const instead = `'${UNPACKER[format]} FILE | qcow2c convert -c - OUT'`;
  return refusal(
    format,
    file,
    `looks like a file compressed with ${format}; decompress it first, or convert the decompressed stream: ${instead}`,
    origin,
  );
}

function refusal(found: string, file: string, what: string, origin: FormatOrigin): Qcow2cError {
  const how = formatStatement('raw', origin);
  const message = `${quoted(file)} ${what}; if it is a raw disk, say so with ${how}`;
  return new Qcow2cError('ERR_UNSUPPORTED', message, { file, found, expected: 'raw or qcow2' });
}
