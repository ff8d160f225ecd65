/** The table of `checksum`: its options and its help. */
import { NBD_OPTIONS } from '../options/nbd-options.js';
import {
  CACHE,
  FORCE_SHARE,
  FORMAT_OF_CHAIN,
  IMAGE_OPTS,
  ISOLATED,
  MEMORY,
  NO_OBJECT,
  OUTPUT,
  PARALLEL,
  PROGRESS_ON_STDERR,
  SHOW_PROGRESS,
  snapshotOption,
} from '../options/option-rows.js';
import { type CommandTable, EVERYWHERE, STOPPED } from '../options/option-table.js';

export const CHECKSUM_TABLE: CommandTable = {
  name: 'checksum',
  summary: 'compute or verify a digest of the content that a guest sees',
  synopsis: [
    'qcow2c checksum [options] FILE...',
    'qcow2c checksum --check [options] [LIST...]',
    'COMMAND | qcow2c checksum [options] -',
  ],
  operands: 'files',
  description: [
    'Prints a line "DIGEST  FILE" for each image. The digest is that of the virtual disk: it is the same for every ' +
      'format, compression, cluster size and chain of images with the same content. Holes are not read. blksum (blkhash ' +
      '0.9 and newer) prints the same digest.',
    'With --check, LIST holds such lines, and each image in it is verified, as sha256sum -c does. An image that cannot ' +
      'be read does not stop the others.',
  ],
  groups: [
    {
      title: 'Images',
      options: [
        FORMAT_OF_CHAIN,
        IMAGE_OPTS,
        snapshotOption('read'),
        ISOLATED,
        CACHE,
        FORCE_SHARE,
        ...NBD_OPTIONS,
        NO_OBJECT,
        PARALLEL,
        MEMORY,
      ],
    },
    {
      title: 'Verification',
      options: [
        { flags: ['-c', '--check'], help: 'verify the images of each LIST (default: of standard input)' },
        { flags: ['--ignore-missing'], help: 'skip images that do not exist (with --check)' },
        {
          flags: ['--status'],
          help: 'print only why an image could not be read; the exit code is the result (with --check)',
        },
        { flags: ['--strict'], help: 'exit with 1 for lines in another format too (with --check)' },
        { flags: ['-w', '--warn'], help: 'report each line in another format (with --check)' },
      ],
    },
    {
      title: 'Messages',
      options: [
        OUTPUT,
        SHOW_PROGRESS,
        PROGRESS_ON_STDERR,
        {
          flags: ['-q', '--quiet'],
          help: 'print no progress; with --check no line for an image that matches',
        },
        ...EVERYWHERE,
      ],
    },
  ],
  notes: [
    {
      paragraphs: [
        'The digest is the SHA-256 of the SHA-256 of each block of 64 KiB, one after the other (the last one may be ' +
          'shorter), followed by the size of the disk in bytes as a 64-bit little-endian number.',
        'A backslash, a line feed or a carriage return in a name is printed as \\\\, \\n or \\r; such a line begins with a ' +
          'backslash. Lines that begin with # are comments.',
      ],
    },
  ],
  examples: [
    { what: 'Keep the digests of two backups', line: 'qcow2c checksum monday.qcow2 tuesday.qcow2 > DIGESTS' },
    { what: 'Verify them years later', line: 'qcow2c checksum --check DIGESTS' },
    { what: 'A chain of trusted images', line: 'qcow2c checksum -p -f qcow2 overlay.qcow2' },
    { what: 'A device', line: 'qcow2c checksum -f raw /dev/vg/disk' },
  ],
  exitCodes: [
    ['0', 'all images were read and, with --check, match'],
    ['1', 'an image could not be read or does not match, or the command line is wrong'],
    STOPPED,
  ],
};
