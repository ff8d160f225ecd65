/** The table of `measure`: its options and its help. */
import { IMAGE_FORMATS } from '../../image/image-reference.js';
import { FORMAT_OPTION_OFFERS } from '../options/format-option-keys.js';
import { NBD_OPTIONS } from '../options/nbd-options.js';
import {
  BITMAP,
  CHECK_PAYLOADS,
  COMPARE_WITH_BACKING,
  ENGINE,
  FAST,
  FORCE_SHARE,
  FORMAT_OF_CHAIN,
  IMAGE_OPTS,
  MEMORY,
  NO_OBJECT,
  OUTPUT,
  PARALLEL,
  PROGRESS_ON_STDERR,
  SHOW_PROGRESS,
  snapshotOption,
} from '../options/option-rows.js';
import { type CommandTable, EVERYWHERE, SIZES, STOPPED } from '../options/option-table.js';

export const MEASURE_TABLE: CommandTable = {
  name: 'measure',
  summary: 'compute the size of an image before it is created',
  synopsis: [
    'qcow2c measure [options] FILE',
    'qcow2c measure [options] --size SIZE',
    'COMMAND | qcow2c measure -c [options] -',
  ],
  operands: 'files',
  description: [
    'Prints the size of a new image with the content of FILE, its size once the whole disk has been written, and the ' +
      'size of copies of its bitmaps, if there can be any. Writes nothing.',
    "Without -c the numbers are those of 'qemu-img measure': an upper bound for an uncompressed image. With -c the " +
      "size is exact: the length of the file that 'qcow2c convert -c' writes with the same options on this machine.",
  ],
  groups: [
    {
      title: 'Source',
      options: [
        FORMAT_OF_CHAIN,
        IMAGE_OPTS,
        snapshotOption('measure'),
        FORCE_SHARE,
        ...NBD_OPTIONS,
        NO_OBJECT,
        {
          flags: ['-s', '--size'],
          argument: 'SIZE',
          help: 'measure an empty disk of this size instead of FILE',
        },
      ],
    },
    {
      title: 'Target',
      options: [
        {
          flags: ['-O', '--target-format'],
          argument: 'FMT',
          completes: IMAGE_FORMATS,
          help: 'format of the new image: qcow2 or raw (default: qcow2 with -c, otherwise raw)',
        },
        {
          flags: ['-o', '--target-format-options'],
          argument: 'KEY=VALUE[,KEY=VALUE...]',
          completes: FORMAT_OPTION_OFFERS,
          repeatable: true,
          help: "options of the new image; as for convert ('-o help' lists the keys)",
        },
        {
          flags: ['-c', '--compress'],
          help: 'compute the exact size of a compressed image, by compressing',
        },
        {
          ...BITMAP,
          help: 'count only clusters that this dirty bitmap lists as changed (with -c and -o backing_file=FILE,backing_fmt=FMT)',
        },
        COMPARE_WITH_BACKING,
        {
          flags: ['--sample'],
          argument: 'PERCENT',
          help: 'estimate the size from this part of the data (with -c; prints the margin of error)',
        },
        ENGINE,
        FAST,
        CHECK_PAYLOADS,
        PARALLEL,
        MEMORY,
      ],
    },
    {
      title: 'Messages',
      options: [OUTPUT, SHOW_PROGRESS, PROGRESS_ON_STDERR, ...EVERYWHERE],
    },
  ],
  notes: [
    SIZES,
    {
      paragraphs: [
        'A relative backing_file in -o starts at the working directory.',
        "With --sample the estimate and its margin are printed: 'required size: 5242880 (estimated from 1% of the data, " +
          "+- 81920 bytes at 95% confidence)'. The same FILE and options always give the same estimate.",
      ],
    },
  ],
  examples: [
    { what: 'Maximum size of an uncompressed qcow2 image', line: 'qcow2c measure -O qcow2 disk.raw' },
    { what: 'Exact size of a compressed image', line: 'qcow2c measure -c -p disk.raw' },
    {
      what: 'Estimate from 2% of the data',
      line: 'qcow2c measure -c --sample 2 -o compression_type=zstd disk.raw',
    },
    {
      what: 'Size of a fully written disk of 100 GiB',
      line: 'qcow2c measure -O qcow2 -o cluster_size=1M --size 100G',
    },
    {
      what: 'JSON for a script',
      line: 'qcow2c measure -c --output=json -f qcow2 -l before-upgrade disk.qcow2',
    },
  ],
  exitCodes: [['0', 'success'], ['1', 'an error, described in one line on standard error'], STOPPED],
};
