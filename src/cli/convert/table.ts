/** `convert` on the command line: its options, and what its help says. */

import { IMAGE_FORMATS } from '../../image/image-reference.js';
import { CACHE_MODES } from '../../storage/cache-mode.js';
import { FORMAT_OPTION_OFFERS } from '../format-options.js';
import {
  CHECK_PAYLOADS,
  ENGINE,
  FORCE_SHARE,
  MEMORY,
  NO_OBJECT,
  PARALLEL,
  PROGRESS,
  SHOW_PROGRESS,
} from '../option-rows.js';
import { type CommandTable, EVERYWHERE, SIZES } from '../option-table.js';

export const CONVERT_TABLE: CommandTable = {
  name: 'convert',
  summary: 'copy disk images into a new one',
  synopsis: ['qcow2c convert [options] SRC [SRC...] DST', 'COMMAND | qcow2c convert [options] - DST'],
  operands: 'files',
  description: [
    "Copies the disk image SRC to DST; several SRC are joined end to end; '-' is a raw disk from standard input, as a named pipe and /dev/stdin are. " +
      'DST gets its name only when it is complete: after an error or a signal whatever had that name is still ' +
      'there. With -n, or when DST is a device, it is written in place.',
  ],
  groups: [
    {
      title: 'Source',
      options: [
        {
          flags: ['-f', '--source-format'],
          argument: 'FMT',
          completes: IMAGE_FORMATS,
          help: 'format of SRC: raw or qcow2 (default: look into the file; then it may name no backing file and no data file)',
        },
        {
          flags: ['--image-opts', '--source-image-opts'],
          help: 'SRC is not a name but options: driver=qcow2,file.filename=FILE and others (see below)',
        },
        {
          flags: ['--min-size'],
          argument: 'SIZE',
          help: 'refuse a SRC with fewer bytes (see below); of a stream that is known at its end',
        },
        {
          flags: ['-l', '--snapshot'],
          argument: 'SNAPSHOT',
          help: 'read this internal snapshot: its identifier or name, or snapshot.id=ID,snapshot.name=NAME',
        },
        {
          flags: ['--bitmaps'],
          help: 'copy the persistent dirty bitmaps',
        },
        {
          flags: ['--skip-broken-bitmaps'],
          help: 'leave out inconsistent bitmaps (with --bitmaps)',
        },
        {
          flags: ['--salvage'],
          help: 'make zeros of what cannot be read, say where, and go on',
        },
        {
          flags: ['--isolated'],
          help: 'refuse a SRC that names another file; whatever -f and --image-opts say',
        },
        {
          flags: ['-T', '--source-cache'],
          argument: 'MODE',
          completes: CACHE_MODES,
          help: 'how SRC is read (default: writeback)',
        },
        { ...FORCE_SHARE, help: FORCE_SHARE.help.replace('FILE', 'SRC') },
      ],
    },
    {
      title: 'Target',
      options: [
        {
          flags: ['-O', '--target-format'],
          argument: 'FMT',
          completes: IMAGE_FORMATS,
          help: 'format of DST: qcow2 or raw (default: qcow2 with -c or for a DST that ends in .qcow2, else raw); required to overwrite a file that holds something else',
        },
        {
          flags: ['-o', '--target-format-options'],
          argument: 'KEY=VALUE[,KEY=VALUE...]',
          completes: FORMAT_OPTION_OFFERS,
          repeatable: true,
          help: "options of the target's format; ',,' in a value is a comma, the later of two equal keys wins; '-o help' lists the keys",
        },
        {
          flags: ['-b', '-B', '--backing'],
          argument: 'FILE',
          completes: 'file',
          help: 'store only what differs from the image FILE (which is looked for where DST is)',
        },
        {
          flags: ['-F', '--backing-format'],
          argument: 'FMT',
          completes: IMAGE_FORMATS,
          help: 'format of the backing file: raw or qcow2; required with -b',
        },
        {
          flags: ['-S', '--sparse-size'],
          argument: 'SIZE',
          help: 'shortest run of zeros that is left unallocated (default: 4k; with -c whole clusters); 0 stores every cluster',
        },
        {
          flags: ['-n', '--no-create'],
          help: 'write into the existing DST; a qcow2 image keeps its options, its snapshots and its disk behind SRC; an empty file becomes an image',
        },
        {
          flags: ['--target-is-zero'],
          help: 'all of DST reads as zeros already (with -n)',
        },
        {
          flags: ['--target-image-opts'],
          help: 'DST is not a name but options (with -n; see below)',
        },
        {
          flags: ['-t', '--target-cache'],
          argument: 'MODE',
          completes: CACHE_MODES,
          help: 'how DST is written: none (O_DIRECT), directsync, writethrough, writeback or unsafe (default: none, or writeback where the file system refuses that)',
        },
        {
          flags: ['-r', '--rate-limit'],
          argument: 'SIZE',
          help: 'most bytes written in a second (0: no limit)',
        },
        {
          flags: ['--verify'],
          help: 'read the finished DST back and compare it with SRC: from the device, before DST gets its name; a difference is an error',
        },
      ],
    },
    {
      title: 'Compression',
      options: [
        {
          flags: ['-c', '--compress'],
          help: 'compress the clusters',
        },
        {
          flags: ['--recompress'],
          help: 'compress anew what SRC has compressed in the same way (with -c; else it is checked and copied)',
        },
        ENGINE,
        CHECK_PAYLOADS,
        PARALLEL,
        MEMORY,
        {
          flags: ['--compressed-cache-size'],
          argument: 'SIZE',
          help: 'memory that gathers small writes; 0 writes every cluster by itself',
        },
        {
          flags: ['-W', '--oob-writes'],
          help: 'accepted and without effect: the output is always made in parallel and always deterministic',
        },
        {
          flags: ['-C', '--copy-range-offloading'],
          help: 'accepted and without effect; not with -c, -S or --salvage',
        },
        NO_OBJECT,
      ],
    },
    {
      title: 'Messages',
      options: [
        SHOW_PROGRESS,
        PROGRESS,
        {
          flags: ['-q', '--quiet'],
          help: 'print nothing but errors',
        },
        {
          flags: ['-v', '--verbose'],
          help: 'say afterwards what was done, on standard error',
        },
        ...EVERYWHERE,
      ],
    },
  ],
  notes: [
    SIZES,
    {
      paragraphs: [
        'SRC and FILE are names of files or devices; "file:" before a name is dropped. A name that begins with a ' +
          'protocol that QEMU knows (nbd:, json: and so on) or like a URI (word://) is refused; a file of such a name is ' +
          "'./NAME'. Any other colon, as in vm-2026-11-29T08:00.qcow2, is part of the name.",
      ],
    },
    {
      title: 'A disk from a pipe',
      paragraphs: [
        'A pipe does not tell that the program behind it failed: a disk that ends early looks like a whole one. An empty ' +
          'stream is always an error (unless -o size=0 is given). For the others there are three ways, the safest first:',
      ],
      verbatim: [
        '-o size=SIZE     any other length is an error, DST stays as it was',
        '--min-size SIZE  a shorter disk is an error, DST stays as it was',
        'set -o pipefail  the shell tells of the failure; DST is replaced',
      ],
    },
    {
      title: 'Options in the place of a name',
      verbatim: [
        'driver=qcow2,file.filename=FILE',
        '  [,backing.driver=FMT,backing.file.filename=FILE]  instead of its own',
        '  [,backing=]                                       as if it had none',
        '  [,data-file.filename=FILE]                        instead of its own',
        'driver=raw,file.filename=FILE[,offset=SIZE][,size=SIZE]',
        'file.filename=FILE                                  look into the file',
      ],
    },
  ],
  examples: [
    { what: 'Compress a disk and show how far it is', line: 'qcow2c convert -c -p disk.raw disk.qcow2' },
    {
      what: 'With zstd, by four threads',
      line: 'qcow2c convert -c -o compression_type=zstd -m 4 disk.raw disk.qcow2',
    },
    {
      what: 'As small as it gets with zlib, whatever the time',
      line: 'qcow2c convert -c -o compression_level=12,cluster_size=2M a.raw a.qcow2',
    },
    {
      what: 'Flatten a chain of trusted images',
      line: 'qcow2c convert -c -f qcow2 overlay.qcow2 disk.qcow2',
    },
    {
      what: 'Write a snapshot out as a raw disk',
      line: 'qcow2c convert -f qcow2 -l before-upgrade -O raw disk.qcow2 disk.raw',
    },
    {
      what: 'Store only what differs from a template',
      line: 'qcow2c convert -c -b template.qcow2 -F qcow2 disk.raw overlay.qcow2',
    },
    {
      what: 'Compress a disk of 20 GiB as it arrives, and keep the old image when it does not arrive whole',
      line: 'qcow2c convert -c -o size=20G - disk.qcow2',
    },
  ],
  exitCodes: [
    ['0', 'done'],
    ['1', 'an error; one line on standard error says which'],
    ['129, 130, 143', 'stopped by SIGHUP, SIGINT or SIGTERM'],
  ],
};
