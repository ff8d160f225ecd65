/**
 * The ways in which each kind of system call can fail, and the expected result: an error that names file, place and
 * reason, with everything unchanged, except for the exceptions listed here with their reasons. Used by the sweep.
 */
import type { FailedCall, Fault, Operation, PlannedFault } from './failing-calls.js';

const errors = (...names: string[]): Fault[] => names.map((error) => ({ error }));
const CUTS: readonly Fault[] = [{ cut: 'one byte' }, { cut: 'half' }, { cut: 'all but a sector' }];

/** Every fault of every operation. */
export const FAULTS: Readonly<Record<Operation, readonly Fault[]>> = {
  open: errors('EIO', 'EACCES', 'ENOENT', 'EMFILE', 'EINTR'),
  stat: errors('EIO', 'EACCES'),
  read: [
    ...errors('EIO', 'EINTR', 'EAGAIN'),
    ...CUTS,
    { error: 'EIO', forEver: true },
    { error: 'EAGAIN', forEver: true },
    { cut: 'half', forEver: true },
  ],
  write: [
    ...errors('EIO', 'ENOSPC', 'EDQUOT', 'EFBIG', 'EINTR', 'EAGAIN', 'EINVAL'),
    ...CUTS,
    { error: 'ENOSPC', forEver: true },
    { error: 'EAGAIN', forEver: true },
  ],
  sync: errors('EIO', 'ENOSPC', 'EDQUOT', 'EINTR'),
  truncate: errors('EIO', 'EFBIG', 'ENOSPC', 'EINTR'),
  allocate: errors('EIO', 'ENOSPC', 'EDQUOT', 'ENOTSUP', 'EINTR'),
  seek: errors('EIO', 'EINVAL'),
  lock: errors('ENOLCK', 'EINVAL', 'EINTR'),
  advise: errors('EINVAL'),
  close: errors('EIO', 'ENOSPC', 'EDQUOT', 'EINTR'),
  'close unwritten': errors('EIO', 'EINTR'),
  rename: errors('EIO', 'EXDEV', 'ENOSPC', 'EDQUOT', 'EROFS', 'EACCES', 'EINTR'),
  unlink: errors('EIO', 'EACCES', 'EROFS'),
  chmod: errors('EPERM', 'EIO'),
  chown: errors('EPERM', 'EIO'),
  realpath: errors('EIO', 'EACCES'),
  readlink: errors('EIO', 'EACCES'),
  attribute: errors('EIO', 'ENOTSUP'),
  'attribute list': errors('EIO', 'ENOTSUP'),
};

/** The words with which a message ends. */
export const WORDS: Readonly<Record<string, string>> = {
  EIO: 'Input/output error',
  EACCES: 'Permission denied',
  ENOENT: 'No such file or directory',
  EMFILE: 'Too many open files',
  EAGAIN: 'Resource temporarily unavailable',
  EINVAL: 'Invalid argument',
  ENOSPC: 'No space left on device',
  EDQUOT: 'Disk quota exceeded',
  EFBIG: 'File too large',
  ENOTSUP: 'Operation not supported',
  EXDEV: 'Cross-device link not permitted',
  EROFS: 'Read-only file system',
  EPERM: 'Operation not permitted',
};

/** Results of a fault in place of its error; `either`: one of the two. */
type Verdict =
  | 'the same result'
  | 'either'
  | 'its error, and a file that has its name keeps it'
  | 'the same, and the temporary file stays';

interface Exception {
  readonly operations: readonly Operation[];
  /** The faults' errors, or `cut`; undefined: all of them. */
  readonly faults?: readonly string[];
  readonly of?: (path: string, call: string) => boolean;
  readonly verdict: Verdict;
  readonly why: string;
}

const isTemporary = (path: string) => path.endsWith('.qcow2c.tmp');
const isDirectory = (path: string) => path.endsWith('/out');

/** The first that fits counts. */
const EXCEPTIONS: readonly Exception[] = [
  {
    operations: ['read', 'write'],
    faults: ['cut', 'EAGAIN'],
    verdict: 'the same result',
    why: 'the missing bytes are requested again',
  },
  {
    operations: ['open', 'read', 'write', 'sync', 'truncate', 'allocate', 'lock', 'close', 'rename'],
    faults: ['EINTR'],
    verdict: 'the same result',
    why: 'a signal is no fault; the call is made again, but for close, which is done',
  },
  {
    operations: ['write'],
    faults: ['EINVAL'],
    verdict: 'either',
    why: 'a file system refuses O_DIRECT in this way: then the page cache is used; later it is an error',
  },
  {
    operations: ['lock'],
    verdict: 'the same result',
    why: 'a file system may have no locks',
  },
  {
    operations: ['seek'],
    faults: ['EINVAL'],
    verdict: 'the same result',
    why: 'a file system may not know holes: everything is data then',
  },
  {
    operations: ['attribute'],
    faults: ['ENOTSUP'],
    verdict: 'the same result',
    why: 'a file system may have no attributes; a file with an access list reports it',
  },
  {
    operations: ['attribute list'],
    verdict: 'the same result',
    why: 'access to the file does not depend on them; their loss is reported',
  },
  {
    operations: ['allocate'],
    faults: ['ENOTSUP'],
    of: isTemporary,
    verdict: 'either',
    why: 'whether there is room for a second file cannot be found out everywhere; asked for, it is an error',
  },
  {
    operations: ['read'],
    of: (path) => path.endsWith('/out/target'),
    verdict: 'either',
    why: 'refcounts of an image that is written into are asked for once more, one by one; other tables are an error',
  },
  { operations: ['advise'], verdict: 'the same result', why: 'it is only a hint' },
  {
    operations: ['chown'],
    verdict: 'the same result',
    why: 'owners are kept if permitted; otherwise no other user can read the file',
  },
  {
    operations: ['open'],
    faults: ['ENOENT'],
    of: isTemporary,
    verdict: 'either',
    why: 'another run took it for a leftover before it was locked: it is created again',
  },
  {
    operations: ['open', 'sync'],
    faults: ['EACCES'],
    of: isDirectory,
    verdict: 'the same result',
    why: 'a directory that may be written to need not be readable, and cannot be synced then',
  },
  {
    operations: ['open', 'sync'],
    of: isDirectory,
    verdict: 'its error, and a file that has its name keeps it',
    why: 'the file has its name, and may lose it in a power failure: this must be reported',
  },
  {
    operations: ['stat'],
    of: (path, call) => call === 'stat' && path.includes('/images/'),
    verdict: 'either',
    why: 'whether a source is a pipe is looked at first; a fault that lasts is met when the source is opened',
  },
  {
    operations: ['rename', 'stat'],
    verdict: 'its error, and a file that has its name keeps it',
    why: 'an external data file got its own before, or the finished file is looked at once more under its name',
  },
  {
    operations: ['allocate'],
    of: (path) => !isTemporary(path),
    verdict: 'the same result',
    why: 'holes are punched into targets in place; if that fails, zeros are written',
  },
  {
    operations: ['unlink'],
    verdict: 'the same, and the temporary file stays',
    why: 'a file that cannot be removed stays for the next run to the same target; the first error is reported',
  },
  {
    operations: ['close unwritten'],
    verdict: 'the same result',
    why: 'nothing was written through the descriptor, so nothing can be lost with it',
  },
];

/** @returns the expected result, if it is not an error with nothing changed */
export function verdictOn(
  { operation, fault }: PlannedFault,
  { path, call }: FailedCall,
): Verdict | undefined {
  const { error = 'cut', forEver } = fault;
  // A call that is retried for ever ends with an error.
  if (error === 'EAGAIN' && forEver) return undefined;
  return EXCEPTIONS.find(
    ({ operations, faults, of }) =>
      operations.includes(operation) &&
      (faults === undefined || faults.includes(error)) &&
      (of === undefined || of(path, call)),
  )?.verdict;
}
