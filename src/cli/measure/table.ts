/** `measure` on the command line: its options, and what its help says. */

import { IMAGE_FORMATS } from '../../image/image-reference.js';
import { FORMAT_OPTION_OFFERS } from '../format-options.js';
import {
  CHECK_PAYLOADS,
  ENGINE,
  FORCE_SHARE,
  FORMAT_OF_CHAIN,
  IMAGE_OPTS,
  MEMORY,
  NO_OBJECT,
  PARALLEL,
  PROGRESS,
  SHOW_PROGRESS,
} from '../option-rows.js';
import { type CommandTable, EVERYWHERE, SIZES } from '../option-table.js';

export const MEASURE_TABLE: CommandTable = {
  name: 'measure',
  summary: 'say how large an image will become',
  synopsis: [
    'qcow2c measure [options] FILE',
    'qcow2c measure [options] --size SIZE',
    'COMMAND | qcow2c measure -c [options] -',
  ],
  operands: 'files',
  description: [
    'Says how many bytes a new image with the content of FILE will take, and how many once its whole disk has been ' +
      'written to; then what copies of its bitmaps will take besides, if there can be any. Nothing is written.',
    "Without -c the figures are those of 'qemu-img measure': the most that an uncompressed image can need. With -c " +
      "the size is exact: that of the file that 'qcow2c convert -c' makes with the same options on this machine.",
  ],
  groups: [
    {
      title: 'Source',
      options: [
        FORMAT_OF_CHAIN,
        IMAGE_OPTS,
        {
          flags: ['-l', '--snapshot'],
          argument: 'SNAPSHOT',
          help: 'measure this internal snapshot: its identifier or name, or snapshot.id=ID,snapshot.name=NAME',
        },
        FORCE_SHARE,
        NO_OBJECT,
        {
          flags: ['-s', '--size'],
          argument: 'SIZE',
          help: 'a disk of this size without content instead of FILE',
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
          help: 'format of the new image: qcow2 or raw (default: qcow2 with -c, else raw)',
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
          help: 'find the exact size of the compressed image, by compressing',
        },
        {
          flags: ['--sample'],
          argument: 'PERCENT',
          help: 'estimate the size from so much of the data (with -c; evenly spread, and the margin of error is told)',
        },
        ENGINE,
        CHECK_PAYLOADS,
        PARALLEL,
        MEMORY,
      ],
    },
    {
      title: 'Messages',
      options: [
        {
          flags: ['--output'],
          argument: 'FORMAT',
          choices: ['human', 'json'],
          help: 'how to print it: human or json (default: human)',
        },
        SHOW_PROGRESS,
        {
          ...PROGRESS,
          choices: ['auto', 'bar', 'json', 'none'],
          help: 'how to show it: auto (a bar if standard error is a terminal), bar (on standard error), json (an object a line on standard error) or none',
        },
        ...EVERYWHERE,
      ],
    },
  ],
  notes: [
    SIZES,
    {
      paragraphs: [
        'A relative backing file in -o is looked for from the working directory: the new image has no place of its own.',
        "With --sample the first number is still the size: 'required size: 5242880 (estimated from 1% of the data, " +
          "+- 81920 bytes at 95% confidence)'. The same FILE and options always give the same estimate.",
      ],
    },
  ],
  examples: [
    { what: 'How large an uncompressed qcow2 image can become', line: 'qcow2c measure -O qcow2 disk.raw' },
    { what: 'How large a compressed image will be, exactly', line: 'qcow2c measure -c -p disk.raw' },
    {
      what: 'About how large, from a fiftieth of the data',
      line: 'qcow2c measure -c --sample 2 -o compression_type=zstd disk.raw',
    },
    {
      what: 'What a fully written disk of 100 GiB takes',
      line: 'qcow2c measure -O qcow2 -o cluster_size=1M --size 100G',
    },
    {
      what: 'For a program',
      line: 'qcow2c measure -c --output=json -f qcow2 -l before-upgrade disk.qcow2',
    },
  ],
  exitCodes: [
    ['0', 'done'],
    ['1', 'an error; one line on standard error says which'],
    ['129, 130, 143', 'stopped by SIGHUP, SIGINT or SIGTERM'],
  ],
};
