/** The table of `check`: its options and its help. */
import { NBD_OPTIONS } from '../options/nbd-options.js';
import {
  CACHE,
  FORCE_SHARE,
  FORMAT,
  IMAGE_OPTS,
  MEMORY,
  NO_OBJECT,
  OUTPUT,
  PARALLEL,
  PROGRESS,
  SHOW_PROGRESS,
} from '../options/option-rows.js';
import { type CommandTable, EVERYWHERE, STOPPED } from '../options/option-table.js';

export const CHECK_TABLE: CommandTable = {
  name: 'check',
  summary: 'find and repair errors in an image',
  synopsis: ['qcow2c check [options] FILE'],
  operands: 'files',
  description: [
    'Counts the references to each cluster of FILE, compares them with the refcounts of the image, and checks the ' +
      'entries of its tables. As with qemu-img, findings go to standard error, one per line, and the verdict to ' +
      'standard output and into the exit code.',
    'With --data every compressed cluster of the image and its snapshots is decompressed too, on all cores. Without ' +
      'it, damaged compressed data goes unnoticed, as with qemu-img.',
    'Tables and data past the end of the file, even in part, are corruptions. qemu-img reads some of them as zeros ' +
      'and reports nothing.',
    'With -r FILE is repaired in place and checked again. An interrupted repair leaves it no worse than before. ' +
      'Nothing is freed if a table that may refer to it could not be read.',
    'Backing files and data files are not opened. Check each of them separately.',
  ],
  groups: [
    {
      title: 'Options',
      options: [
        FORMAT,
        IMAGE_OPTS,
        {
          flags: ['-r', '--repair'],
          argument: 'WHAT',
          choices: ['leaks', 'all'],
          help: 'repair FILE in place: leaks (free unused clusters) or all (also corruptions that can be repaired without guessing)',
        },
        { flags: ['--data'], help: 'decompress every compressed cluster' },
        OUTPUT,
        {
          ...PARALLEL,
          help: 'maximum number of threads for --data (default: one per available processor, within the CPU quota of the cgroup)',
        },
        MEMORY,
        CACHE,
        SHOW_PROGRESS,
        PROGRESS,
        { flags: ['-q', '--quiet'], help: 'print only errors and findings' },
        FORCE_SHARE,
        ...NBD_OPTIONS,
        NO_OBJECT,
        ...EVERYWHERE,
      ],
    },
  ],
  notes: [
    {
      title: 'Terms',
      paragraphs: [
        'Leaked cluster: unused space in the file; harmless to data. ERROR: refcounts or tables are wrong; do not ' +
          'write to the image before it is repaired. Fragmented: a cluster that does not directly follow the previous ' +
          'one in the file; compressed clusters always count. Image end offset: the end of the last used cluster.',
      ],
    },
  ],
  examples: [
    { what: 'Check an image', line: 'qcow2c check disk.qcow2' },
    { what: 'Check an image and its compressed data', line: 'qcow2c check --data -p disk.qcow2' },
    {
      what: 'JSON for a script',
      line: 'qcow2c check --output json disk.qcow2',
    },
    { what: 'Free leaked clusters', line: 'qcow2c check -r leaks disk.qcow2' },
  ],
  exitCodes: [
    ['0', 'no errors were found'],
    ['1', 'the check could not be made or completed'],
    ['2', 'there are corruptions'],
    ['3', 'there are leaked clusters, but no corruptions'],
    ['63', 'the format has no checks (raw)'],
    STOPPED,
  ],
};
