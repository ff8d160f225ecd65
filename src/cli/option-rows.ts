/** Options that the tables of several commands have. */

import { IMAGE_FORMATS } from '../image/image-reference.js';
import { CACHE_MODES } from '../storage/cache-mode.js';
import type { OptionRow } from './option-table.js';

/** -f of a command that opens FILE and nothing that it names. */
export const FORMAT: OptionRow = {
  flags: ['-f', '--format'],
  argument: 'FMT',
  completes: IMAGE_FORMATS,
  help: 'format of FILE: raw or qcow2 (default: look into the file)',
};

/** -f of a command that opens FILE with all that it stands on. */
export const FORMAT_OF_CHAIN: OptionRow = {
  ...FORMAT,
  help: 'format of FILE: raw or qcow2 (default: look into the file; then it may name no backing file and no data file)',
};

export const IMAGE_OPTS: OptionRow = {
  flags: ['--image-opts'],
  help: "FILE is not a name but options: driver=qcow2,file.filename=FILE and others (see 'qcow2c help convert')",
};

export const FORCE_SHARE: OptionRow = {
  flags: ['-U', '--force-share'],
  help: 'read FILE although a virtual machine may be writing to it: what is written meanwhile may be missing or half there',
};

export const NO_OBJECT: OptionRow = {
  flags: ['--object'],
  argument: 'DEFINITION',
  help: 'always refused: there is no encryption and no network disk that it could serve',
};

export const CACHE: OptionRow = {
  flags: ['-T', '--cache'],
  argument: 'MODE',
  completes: CACHE_MODES,
  help: 'how FILE is read (default: writeback); none and directsync go past the page cache',
};

export const ENGINE: OptionRow = {
  flags: ['--engine'],
  argument: 'NAME',
  choices: ['auto', 'libdeflate', 'libzstd', 'node'],
  help: 'what compresses: auto, libdeflate, libzstd or node (default: auto, the fastest that is installed)',
};

export const CHECK_PAYLOADS: OptionRow = {
  flags: ['--check-payloads'],
  help: 'inflate each compressed cluster and compare it before it is used; one that is wrong is compressed anew at a lower level (always done for libzstd 1.5.0 to 1.5.4 from level 13 on, which may corrupt data)',
};

export const PARALLEL: OptionRow = {
  flags: ['-m', '--parallel'],
  argument: 'N',
  help: 'most worker threads (default: one for each processor that the program may use, cgroup quotas included)',
};

export const MEMORY: OptionRow = {
  flags: ['--memory'],
  argument: 'LIMIT',
  help: 'most memory of the whole program: fewer threads and smaller buffers where that is needed (default: three quarters of what its cgroup may use)',
};

export const SHOW_PROGRESS: OptionRow = { flags: ['-p'], help: 'show progress; the same as --progress=auto' };

export const PROGRESS: OptionRow = {
  flags: ['--progress'],
  argument: 'STYLE',
  bare: 'auto',
  choices: ['auto', 'bar', 'qemu', 'json', 'none'],
  help: "how to show it: auto (a bar on a terminal, else as qemu), bar (on standard error), qemu (the lines of 'qemu-img -p' on standard output), json (an object a line on standard error) or none",
};
