/** The table of `map`: its options and its help. */
import { NBD_OPTIONS } from '../options/nbd-options.js';
import { FORCE_SHARE, FORMAT_OF_CHAIN, IMAGE_OPTS, NO_OBJECT } from '../options/option-rows.js';
import { type CommandTable, EVERYWHERE, SIZES } from '../options/option-table.js';

export const MAP_TABLE: CommandTable = {
  name: 'map',
  summary: 'list which parts of an image are stored, and where',
  synopsis: ['qcow2c map [-f FMT] [options] FILE', 'qcow2c map --image-opts [options] KEY=VALUE[,KEY=VALUE]'],
  operands: 'files',
  description: [
    "Lists the ranges of the disk, as 'qemu-img map' does: which are stored, at which offset, which read as zeros, and " +
      'which image of a backing chain defines them. Reads tables only, no data.',
    'With --output=svg it draws the disk, and the contents of FILE: tables, clusters and unused space.',
  ],
  groups: [
    {
      title: 'Image',
      options: [
        FORMAT_OF_CHAIN,
        IMAGE_OPTS,
        {
          flags: ['-s', '--start-offset'],
          argument: 'SIZE',
          help: 'start at this offset of the disk (default: 0)',
        },
        {
          flags: ['-l', '--max-length'],
          argument: 'SIZE',
          help: 'number of bytes to list (default: up to the end of the disk)',
        },
        FORCE_SHARE,
        ...NBD_OPTIONS,
        NO_OBJECT,
      ],
    },
    {
      title: 'Output',
      options: [
        {
          flags: ['--output'],
          argument: 'FORMAT',
          choices: ['human', 'json', 'svg'],
          help: 'output format: human (a table of uncompressed data; fails at the first compressed cluster), json (a list of all ranges) or svg (a picture) (default: human)',
        },
        ...EVERYWHERE,
      ],
    },
  ],
  notes: [
    SIZES,
    {
      title: 'Keys of --output=json',
      verbatim: [
        'start, length  the range on the disk, in bytes',
        'depth          the image that defines it: 0 is FILE, 1 its backing file',
        'present        that image defines it; if false, no image does',
        'zero           reads as zeros',
        'data           stored in a file; with zero, as a hole',
        'compressed     stored compressed',
        'offset         offset in the file, if stored uncompressed',
      ],
    },
  ],
  examples: [
    { what: 'List all ranges', line: 'qcow2c map --output=json disk.qcow2' },
    {
      what: 'List the ranges of a chain of trusted images',
      line: 'qcow2c map -f qcow2 --output=json overlay.qcow2',
    },
    { what: 'Only the second GiB', line: 'qcow2c map -s 1G -l 1G disk.raw' },
    { what: 'Draw a picture, on standard output', line: 'qcow2c map --output=svg disk.qcow2' },
  ],
  exitCodes: [
    ['0', 'success'],
    ['1', 'an error, described in one line on standard error'],
  ],
};
