/** `check` on the command line: its options, and what its help says. */
import {
  CACHE,
  FORCE_SHARE,
  FORMAT,
  IMAGE_OPTS,
  MEMORY,
  NO_OBJECT,
  PARALLEL,
  PROGRESS,
  SHOW_PROGRESS,
} from '../option-rows.js';
import { type CommandTable, EVERYWHERE } from '../option-table.js';

export const CHECK_TABLE: CommandTable = {
  name: 'check',
  summary: 'find and repair what is wrong with an image',
  synopsis: ['qcow2c check [options] FILE'],
  operands: 'files',
  description: [
    'Counts the references to each cluster of FILE anew, compares them with the refcounts of the image, and looks ' +
      'at the entries of its tables. What is wrong goes to standard error, a line each, the verdict to standard ' +
      'output and into the exit code; all as qemu-img does it.',
    'With --data every compressed cluster is inflated too, in the image and in its snapshots, on all cores: ' +
      'without it damaged payloads pass, as they do with qemu-img.',
    'Tables, payloads and data clusters that are past the end of the file, wholly or in part, are corruptions, ' +
      'also where qemu-img reads them as zeros and reports nothing.',
    'With -r FILE is repaired in place and checked again. A failure in the middle leaves it no worse than it was. ' +
      'Nothing is freed if a table that may refer to it could not be read.',
    'Backing files and data files are not opened: each has a check of its own.',
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
          help: 'repair FILE in place: leaks (space that nothing uses) or all (also corruptions, as far as that takes no guess)',
        },
        { flags: ['--data'], help: 'inflate every compressed cluster too' },
        {
          flags: ['--output'],
          argument: 'FORMAT',
          choices: ['human', 'json'],
          help: 'how to print the verdict: human or json (default: human)',
        },
        {
          ...PARALLEL,
          help: 'most threads for --data (default: one for each processor that the program may use, cgroup quotas included)',
        },
        MEMORY,
        CACHE,
        SHOW_PROGRESS,
        PROGRESS,
        { flags: ['-q', '--quiet'], help: 'print nothing but what is wrong' },
        FORCE_SHARE,
        NO_OBJECT,
        ...EVERYWHERE,
      ],
    },
  ],
  notes: [
    {
      title: 'Words',
      paragraphs: [
        'Leaked cluster: space in the file that nothing uses; no harm to data. ERROR: the refcounts or tables are ' +
          'wrong; do not write to the image before it is repaired. Fragmented: not right behind the cluster ' +
          'before it, which is true of every compressed one. Image end offset: what of the file is in use.',
      ],
    },
  ],
  examples: [
    { what: 'Check an image', line: 'qcow2c check disk.qcow2' },
    { what: 'Check an image and its compressed data', line: 'qcow2c check --data -p disk.qcow2' },
    {
      what: 'For a script: the exit code, and the verdict as JSON',
      line: 'qcow2c check --output json disk.qcow2',
    },
    { what: 'Give back leaked clusters', line: 'qcow2c check -r leaks disk.qcow2' },
  ],
  exitCodes: [
    ['0', 'nothing is wrong'],
    ['1', 'the check could not be made, or not to its end'],
    ['2', 'there are corruptions'],
    ['3', 'there are leaked clusters, but no corruptions'],
    ['63', 'the format has no checks (raw)'],
    ['129, 130, 143', 'stopped by SIGHUP, SIGINT or SIGTERM'],
  ],
};
