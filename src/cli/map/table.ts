/** `map` on the command line: its options, and what its help says. */
import { FORCE_SHARE, FORMAT_OF_CHAIN, IMAGE_OPTS, NO_OBJECT } from '../option-rows.js';
import { type CommandTable, EVERYWHERE, SIZES } from '../option-table.js';

export const MAP_TABLE: CommandTable = {
  name: 'map',
  summary: 'say where the data of an image are',
  synopsis: ['qcow2c map [-f FMT] [options] FILE', 'qcow2c map --image-opts [options] KEY=VALUE[,KEY=VALUE]'],
  operands: 'files',
  description: [
    'Prints the ranges of the disk that FILE shows: which are stored, and where, which read as zeros, and which ' +
      "image of a chain says so; the same ranges as 'qemu-img map'. Only tables are read, no data.",
    'With --output=svg it draws them as a picture, together with what FILE itself holds: tables, clusters, what is ' +
      'unused.',
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
          help: 'begin at this byte of the disk (default: 0)',
        },
        {
          flags: ['-l', '--max-length'],
          argument: 'SIZE',
          help: 'look at so many bytes of the disk (default: all to its end)',
        },
        FORCE_SHARE,
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
          help: 'how to print it: human (a table of what can be found in a file as it is; fails at the first compressed cluster), json (a list of all ranges) or svg (a picture) (default: human)',
        },
        ...EVERYWHERE,
      ],
    },
  ],
  notes: [
    SIZES,
    {
      title: 'What --output=json says of a range',
      verbatim: [
        'start, length  where it is on the disk, in bytes',
        'depth          which image says so: 0 is FILE, 1 its backing file, ...',
        'present        that image holds it; else none does',
        'zero           it reads as zeros',
        'data           it is stored; with zero: as a hole in the file',
        'compressed     it is stored compressed',
        'offset         where it is in the file, if it lies there as it is',
      ],
    },
  ],
  examples: [
    { what: 'Where the data of a disk are', line: 'qcow2c map --output=json disk.qcow2' },
    { what: 'Of a chain of trusted images', line: 'qcow2c map -f qcow2 --output=json overlay.qcow2' },
    { what: 'Only the second GiB', line: 'qcow2c map -s 1G -l 1G disk.raw' },
    { what: 'As a picture, on standard output', line: 'qcow2c map --output=svg disk.qcow2' },
  ],
  exitCodes: [
    ['0', 'done'],
    ['1', 'an error; one line on standard error says which'],
  ],
};
