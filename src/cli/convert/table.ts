/** The table of `convert`: its options, examples and exit codes. */
import { IMAGE_FORMATS } from '../../image/image-reference.js';
import { CACHE_MODES } from '../../storage/cache-mode.js';
import { FORMAT_OPTION_OFFERS } from '../options/format-option-keys.js';
import { NBD_OPTIONS } from '../options/nbd-options.js';
import {
  BITMAP,
  CHECK_PAYLOADS,
  COMPARE_WITH_BACKING,
  ENGINE,
  FAST,
  FORCE_SHARE,
  ISOLATED,
  MEMORY,
  NO_OBJECT,
  OUTPUT,
  PARALLEL,
  PROGRESS,
  SHOW_PROGRESS,
  snapshotOption,
} from '../options/option-rows.js';
import { type CommandTable, EVERYWHERE, STOPPED } from '../options/option-table.js';
import { CONVERT_NOTES } from './notes.js';

export const CONVERT_TABLE: CommandTable = {
  name: 'convert',
  summary: 'convert disk images to a new image',
  synopsis: [
    'qcow2c convert [options] SRC [SRC...] DST',
    'COMMAND | qcow2c convert [options] - DST',
    'qcow2c convert [options] SRC [SRC...] - | COMMAND',
  ],
  operands: 'files',
  description: [
    'Converts the disk image SRC to DST. Several SRC are concatenated. "-", a named pipe or /dev/stdin is a raw disk ' +
      'that is read as a stream.',
    'DST is written under a temporary name and renamed once it is complete, its length is verified and it is on ' +
      'disk. After an error or a signal an existing DST is unchanged. With -n, or if DST is a device or an NBD export, it is written ' +
      'in place.',
    'If DST is "-", /dev/stdout, /dev/fd/N or a named pipe, it is written from start to end. SRC is then read twice, ' +
      'unless --spool is given or the format is raw.',
  ],
  groups: [
    {
      title: 'Source',
      options: [
        {
          flags: ['-f', '--source-format'],
          argument: 'FMT',
          completes: IMAGE_FORMATS,
          help: 'format of SRC: raw or qcow2 (default: probe SRC, and refuse it if it names a backing file or data file)',
        },
        {
          flags: ['--image-opts', '--source-image-opts'],
          help: 'SRC is a list of options, not a name: driver=qcow2,file.filename=FILE and so on (see below)',
        },
        {
          flags: ['--min-size'],
          argument: 'SIZE',
          help: 'refuse SRC if it is smaller (see below); the size of a stream is known at its end',
        },
        snapshotOption('read'),
        {
          flags: ['--bitmaps'],
          help: 'copy the persistent dirty bitmaps',
        },
        {
          flags: ['--skip-broken-bitmaps'],
          help: 'skip inconsistent bitmaps (with --bitmaps)',
        },
        {
          flags: ['--salvage'],
          help: 'replace unreadable data with zeros; report the ranges and continue',
        },
        { ...ISOLATED, help: ISOLATED.help.replace('FILE', 'SRC') },
        {
          flags: ['-T', '--source-cache'],
          argument: 'MODE',
          completes: CACHE_MODES,
          help: 'cache mode for reading SRC (default: writeback); none and directsync bypass the page cache',
        },
        { ...FORCE_SHARE, help: FORCE_SHARE.help.replace('FILE', 'SRC') },
        ...NBD_OPTIONS,
      ],
    },
    {
      title: 'Target',
      options: [
        {
          flags: ['-O', '--target-format'],
          argument: 'FMT',
          completes: IMAGE_FORMATS,
          help: 'format of DST: qcow2 or raw (default: qcow2 with -c or if DST ends in .qcow2, otherwise raw); required to overwrite a file of another format',
        },
        {
          flags: ['-o', '--target-format-options'],
          argument: 'KEY=VALUE[,KEY=VALUE...]',
          completes: FORMAT_OPTION_OFFERS,
          repeatable: true,
          help: "options of the target format; write a comma in a value as ',,'; of repeated keys the last one counts; '-o help' lists the keys",
        },
        {
          flags: ['-b', '-B', '--backing'],
          argument: 'FILE',
          completes: 'file',
          help: 'store only clusters that differ from the image FILE (a relative name starts at the directory of DST)',
        },
        {
          flags: ['-F', '--backing-format'],
          argument: 'FMT',
          completes: IMAGE_FORMATS,
          help: 'format of the backing file: raw or qcow2; required with -b',
        },
        BITMAP,
        COMPARE_WITH_BACKING,
        {
          flags: ['-S', '--sparse-size'],
          argument: 'SIZE',
          help: 'shortest run of zeros to leave unallocated (default: 4k; with -c whole clusters); 0 stores every cluster',
        },
        {
          flags: ['-n', '--no-create'],
          help: 'write to an existing DST; a qcow2 image keeps its size, options, snapshots and the data beyond the end of SRC; an empty file gets a new image',
        },
        {
          flags: ['--target-is-zero'],
          help: 'assume that DST reads as zeros (with -n)',
        },
        {
          flags: ['--target-image-opts'],
          help: 'DST is a list of options, not a name (with -n; see below)',
        },
        {
          flags: ['-t', '--target-cache'],
          argument: 'MODE',
          completes: CACHE_MODES,
          help: 'cache mode for writing DST: none (O_DIRECT), directsync, writethrough, writeback or unsafe (default: none, or writeback if the file system does not support O_DIRECT)',
        },
        {
          flags: ['-r', '--rate-limit'],
          argument: 'SIZE',
          help: 'limit on bytes written per second (0: no limit)',
        },
        {
          flags: ['--verify'],
          help: 'read the finished DST back and compare it with SRC; this happens before DST is renamed, and bypasses the page cache if possible',
        },
        {
          flags: ['--spool'],
          argument: 'DIR',
          completes: 'file',
          help: 'write the image to an unnamed file in DIR first (only if DST is a pipe, so that SRC is read once)',
        },
      ],
    },
    {
      title: 'Compression',
      options: [
        {
          flags: ['-c', '--compress'],
          help: 'compress the data',
        },
        {
          flags: ['--recompress'],
          help: 'recompress compressed clusters of SRC (with -c; by default those that fit the target are verified and copied)',
        },
        ENGINE,
        FAST,
        CHECK_PAYLOADS,
        PARALLEL,
        MEMORY,
        {
          flags: ['--compressed-cache-size'],
          argument: 'SIZE',
          help: 'size of the compressed write cache (with -c; it combines small writes; 0 writes each cluster separately)',
        },
        {
          flags: ['-W', '--oob-writes'],
          help: 'accepted, no effect; output is always parallel and deterministic',
        },
        {
          flags: ['-C', '--copy-range-offloading'],
          help: 'accepted, no effect; conflicts with -c, -S and --salvage',
        },
        NO_OBJECT,
      ],
    },
    {
      title: 'Messages',
      options: [
        {
          flags: ['--digest'],
          help: "print the digest of DST's content: the line of 'qcow2c checksum DST', on standard output and also with -q",
        },
        {
          flags: ['--sha256'],
          help: 'print the SHA-256 of the file DST as sha256sum does; also with -q',
        },
        {
          ...OUTPUT,
          help: 'output format: human, or json (one object with the result on standard output, and progress on standard error) (default: human)',
        },
        SHOW_PROGRESS,
        PROGRESS,
        {
          flags: ['-q', '--quiet'],
          help: 'print only errors and warnings',
        },
        {
          flags: ['-v', '--verbose'],
          help: 'print a summary on standard error at the end',
        },
        ...EVERYWHERE,
      ],
    },
  ],
  notes: CONVERT_NOTES,
  examples: [
    { what: 'Compress a disk and show progress', line: 'qcow2c convert -c -p disk.raw disk.qcow2' },
    {
      what: 'Use zstd and four threads',
      line: 'qcow2c convert -c -o compression_type=zstd -m 4 disk.raw disk.qcow2',
    },
    {
      what: 'The smallest zlib image, slowly',
      line: 'qcow2c convert -c -o compression_level=12,cluster_size=2M a.raw a.qcow2',
    },
    {
      what: 'Flatten a chain of trusted images',
      line: 'qcow2c convert -c -f qcow2 overlay.qcow2 disk.qcow2',
    },
    {
      what: 'Convert a snapshot to a raw disk',
      line: 'qcow2c convert -f qcow2 -l before-upgrade -O raw disk.qcow2 disk.raw',
    },
    {
      what: 'Store only the differences from a template',
      line: 'qcow2c convert -c -b template.qcow2 -F qcow2 disk.raw overlay.qcow2',
    },
    {
      what: 'Store only the changes since the last backup, which a dirty bitmap lists',
      line: 'qcow2c convert -c --bitmap b0 -b mon.qcow2 -F qcow2 disk.qcow2 tue.qcow2',
    },
    {
      what: 'Compress a disk of 20 GiB from a pipe, and keep the old image if it is truncated',
      line: 'qcow2c convert -c -o size=20G - disk.qcow2',
    },
  ],
  exitCodes: [
    ['0', 'success'],
    ['1', 'an error, described in one line on standard error'],
    STOPPED,
    ['141', 'the reader closed the pipe that is the target; nothing is printed'],
  ],
};
