/** Options shared by the tables of several commands. */
import { ENGINE_NAMES } from '../../engines/codec.js';
import { IMAGE_FORMATS } from '../../image/image-reference.js';
import { CACHE_MODES } from '../../storage/cache-mode.js';
import type { OptionRow } from './option-table.js';

/** -f of a command that opens only FILE. */
export const FORMAT: OptionRow = {
  flags: ['-f', '--format'],
  argument: 'FMT',
  completes: IMAGE_FORMATS,
  help: 'format of FILE: raw or qcow2 (default: probe FILE)',
};

/** -f of a command that opens FILE with its backing and data files. */
export const FORMAT_OF_CHAIN: OptionRow = {
  ...FORMAT,
  help: 'format of FILE: raw or qcow2 (default: probe FILE, and refuse it if it names a backing file or data file)',
};

export const IMAGE_OPTS: OptionRow = {
  flags: ['--image-opts'],
  help: "FILE is a list of options, not a name: driver=qcow2,file.filename=FILE and so on (see 'qcow2c help convert')",
};

export const ISOLATED: OptionRow = {
  flags: ['--isolated'],
  help: 'refuse FILE if it names a backing file or data file; even with -f qcow2',
};

/** @param verb what the command does with the snapshot */
export function snapshotOption(verb: string): OptionRow {
  return {
    flags: ['-l', '--snapshot'],
    argument: 'SNAPSHOT',
    help: `${verb} an internal snapshot: an identifier or a name, or snapshot.id=ID,snapshot.name=NAME`,
  };
}

export const OUTPUT: OptionRow = {
  flags: ['--output'],
  argument: 'FORMAT',
  choices: ['human', 'json'],
  help: 'output format: human or json (default: human)',
};

export const FORCE_SHARE: OptionRow = {
  flags: ['-U', '--force-share'],
  help: 'read FILE even if a virtual machine is using it: concurrent writes may be missed or read in part',
};

export const NO_OBJECT: OptionRow = {
  flags: ['--object'],
  argument: 'DEFINITION',
  help: 'not supported: encrypted images are refused, and --tls-creds names the keys of NBD connections',
};

export const CACHE: OptionRow = {
  flags: ['-T', '--cache'],
  argument: 'MODE',
  completes: CACHE_MODES,
  help: 'cache mode for reading FILE (default: writeback); none and directsync bypass the page cache',
};

export const ENGINE: OptionRow = {
  flags: ['--engine'],
  argument: 'NAME',
  choices: ['auto', ...ENGINE_NAMES],
  help: 'compression engine: auto, isal, libdeflate, libzstd or node (with -c; default: auto, the best one installed)',
};

export const FAST: OptionRow = {
  flags: ['--fast'],
  help: 'compress as fast as possible, for a few percent more bytes (with -c; same as -o compression_level=1)',
};

export const BITMAP: OptionRow = {
  flags: ['--bitmap'],
  argument: 'NAME',
  help: 'store only clusters that this dirty bitmap lists as changed; the backing file must have the others',
};

export const COMPARE_WITH_BACKING: OptionRow = {
  flags: ['--compare-with-backing'],
  help: 'leave out changed clusters that the backing file already has (with --bitmap)',
};

export const CHECK_PAYLOADS: OptionRow = {
  flags: ['--check-payloads'],
  help: 'decompress each compressed cluster and compare it before writing (with -c); a wrong one is compressed again at a lower level (always on for libzstd 1.5.0 to 1.5.4 from level 13, which can corrupt data)',
};

export const PARALLEL: OptionRow = {
  flags: ['-m', '--parallel'],
  argument: 'N',
  help: 'maximum number of worker threads (default: one per available processor, within the CPU quota of the cgroup)',
};

export const MEMORY: OptionRow = {
  flags: ['--memory'],
  argument: 'LIMIT',
  help: 'memory limit of the whole process: if needed, fewer threads and smaller buffers are used (default: three quarters of what the cgroup allows)',
};

export const SHOW_PROGRESS: OptionRow = { flags: ['-p'], help: 'show progress; same as --progress=auto' };

export const PROGRESS: OptionRow = {
  flags: ['--progress'],
  argument: 'STYLE',
  bare: 'auto',
  choices: ['auto', 'bar', 'qemu', 'log', 'json', 'none'],
  withSeconds: ['log', 'json'],
  help: "progress style: auto (bar on a terminal, otherwise qemu), bar (on standard error), qemu (as 'qemu-img -p', on standard output), log or log,SECONDS (a line every 10 or SECONDS seconds on standard error), json or json,SECONDS (one object per line, every 1 or SECONDS seconds on standard error) or none",
};

/** --progress of a command whose standard output is for its result. */
export const PROGRESS_ON_STDERR: OptionRow = {
  ...PROGRESS,
  choices: ['auto', 'bar', 'log', 'json', 'none'],
  help: 'progress style, on standard error: auto (bar on a terminal), bar, log or log,SECONDS (a line every 10 or SECONDS seconds), json or json,SECONDS (one object per line, every 1 or SECONDS seconds) or none',
};
