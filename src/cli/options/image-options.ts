/**
 * Parses the arguments of --image-opts and --target-image-opts, such as driver=qcow2,file.filename=x, for the drivers
 * file, nbd, raw and qcow2. A prefix before a dot names another node: file, backing, data-file. The keys are those of
 * BlockdevOptions in QEMU's qapi/block-core.json, the messages those of bdrv_open in block.c.
 */
import { Qcow2cError, quoted, usageError } from '../../errors.js';
import type { ImageFormat, ImageReference } from '../../image/image-reference.js';
import { isNbdName, parseNbdName } from '../../nbd/nbd-name.js';
import { sourceFormatOf } from './image-formats.js';
import { readNbdNode } from './nbd-node.js';
import { splitOptionList } from './option-list.js';
import { bool, choice, size } from './option-values.js';

/** The role of the image, and other options about opening it. */
export interface ImageUse {
  readonly role: 'source' | 'target';
  /** The cache mode of another option bypasses the page cache. */
  readonly direct: boolean;
  readonly forceShare: boolean;
}

/** The keys of one node. Reading a key removes it, so the remaining keys are unknown. */
type Keys = Map<string, string>;

/** Drivers of files, which treat the content as raw. */
const FILE_DRIVERS: readonly string[] = ['file', 'host_device'];

const NBD_DRIVER = 'nbd';

const ON_OFF_AUTO = { on: true, off: true, auto: true };
const DETECT_ZEROES = { off: true, on: true, unmap: true };
const DISCARD = { ignore: true, off: true, unmap: true, on: true };
const AIO = { threads: true, native: true, io_uring: true };

/**
 * @param text the list of options in place of a file's name
 * @throws Qcow2cError ERR_USAGE, or ERR_UNSUPPORTED for unsupported drivers and keys
 */
export function readImageOptions(text: string, use: ImageUse): ImageReference {
  const opening = `Could not open ${quoted(text)}: `;
  try {
    const [first = ''] = text.split(',');
    // A word without a key is the name of a node, like a value of "file".
    if (text !== '' && !first.includes('=')) throw noSuchNode(first);
    const keys: Keys = new Map(splitOptionList(text).map(({ key, value }) => [key, value]));
    return readImage(keys, use);
  } catch (error) {
    if (!(error instanceof Qcow2cError)) throw error;
    throw new Qcow2cError(error.code, `${opening}${error.message}`);
  }
}

/** Parts of a reference whose option has another name. */
const OPTION_OF: Readonly<Record<string, string>> = { dataFile: 'data-file', forceShare: 'force-share' };

/** As `readImageOptions`, for a target. Its format must be stated, because the target may be empty. */
export function readTargetOptions(
  text: string,
  use: Omit<ImageUse, 'role'>,
): { readonly file: string; readonly format: ImageFormat } {
  const { file, format, ...others } = readImageOptions(text, { ...use, role: 'target' });
  const refuse = (why: string) => usageError(`Could not open ${quoted(text)}: ${why}`);
  if (format === undefined) throw refuse("The target's format must be stated (driver=raw or driver=qcow2)");
  const [other] = Object.keys(others);
  if (other !== undefined) throw refuse(`'${OPTION_OF[other] ?? other}' cannot be used with a target`);
  return { file, format };
}

/** An image with its options. @param node the prefix of its keys in the whole list */
function readImage(keys: Keys, use: ImageUse, node = ''): ImageReference {
  const shared = isShared(keys) ? { forceShare: true } : {};
  const driver = take(keys, 'driver');
  if (driver === NBD_DRIVER || (driver !== undefined && FILE_DRIVERS.includes(driver))) {
    return { file: readProtocol(driver, keys, use), format: 'raw', ...shared };
  }
  const format = driver === undefined ? undefined : sourceFormatOf(driver);
  if (format === undefined && ![...keys.keys()].some((key) => /^file(\.|$)/.test(key))) {
    throw usageError('Must specify either driver or file');
  }
  const reference = {
    file: readStorage(takeFileNode(keys), use),
    ...(format === undefined ? { formatOption: `${node}driver=` } : { format }),
    ...(format === 'raw' ? readPart(keys) : readCompanions(keys, use, node)),
    ...shared,
  };
  readShared(keys, use);
  refuseRest(keys, `Block format '${format ?? 'raw or qcow2'}' does not`);
  return reference;
}

/** Whether the image, or its file, is to be read even if another process writes to it. */
function isShared(keys: Keys): boolean {
  return [...keys].some(
    ([key, value]) =>
      (/^(file\.)*force-share$/.test(key) && bool(value, key)) ||
      (/^(file\.)*locking$/.test(key) && value === 'off'),
  );
}

/** The range of a raw disk in its file. */
function readPart(keys: Keys): Pick<ImageReference, 'offset' | 'size'> {
  const [offset, length] = [take(keys, 'offset'), take(keys, 'size')];
  return {
    ...(offset === undefined ? {} : { offset: size(offset, 'offset') }),
    ...(length === undefined ? {} : { size: size(length, 'size') }),
  };
}

/** The other files of a qcow2 image. */
function readCompanions(
  keys: Keys,
  use: ImageUse,
  node: string,
): Pick<ImageReference, 'backing' | 'dataFile'> {
  takeIf(keys, 'lazy-refcounts', bool);
  const backing = readBacking(keys, use, node);
  const dataFile = takeNode(keys, 'data-file');
  return {
    ...(backing === undefined ? {} : { backing }),
    ...(dataFile === undefined ? {} : { dataFile: readStorage(dataFile, use) }),
  };
}

function readBacking(keys: Keys, use: ImageUse, node: string): ImageReference['backing'] {
  if (keys.get('backing') === '') {
    keys.delete('backing');
    return 'none';
  }
  const backing = takeNode(keys, 'backing');
  return backing === undefined ? undefined : readImage(backing, use, `${node}backing.`);
}

/** The storage of an image: a file, or a raw node over a whole file. */
function readStorage(keys: Keys, use: ImageUse): string {
  const driver = take(keys, 'driver');
  if (driver === undefined || driver === NBD_DRIVER || FILE_DRIVERS.includes(driver)) {
    return readProtocol(driver, keys, use);
  }
  if (sourceFormatOf(driver) !== 'raw') {
    throw new Qcow2cError('ERR_UNSUPPORTED', `An image in a ${driver} image is not supported`);
  }
  const name = readStorage(takeFileNode(keys), use);
  readShared(keys, use);
  refuseRest(keys, 'A raw node that holds an image does not');
  return name;
}

/** A file or an NBD export. As in QEMU, a name decides if no driver does. */
function readProtocol(driver: string | undefined, keys: Keys, use: ImageUse): string {
  if (driver === NBD_DRIVER) {
    const name = readNbdNode(keys);
    readShared(keys, use);
    refuseRest(keys, "Block protocol 'nbd' doesn't");
    return name;
  }
  const name = readFile(keys, use);
  if (!isNbdName(name)) return name;
  if (driver !== undefined) return `./${name}`;
  parseNbdName(name);
  return name;
}

function readFile(keys: Keys, use: ImageUse): string {
  const name = take(keys, 'filename');
  if (!name) throw usageError("The 'file' block driver requires a file name");
  takeIf(keys, 'aio', (value, key) => choice(AIO, value, key));
  takeIf(keys, 'locking', (value, key) => choice(ON_OFF_AUTO, value, key));
  readShared(keys, use);
  refuseRest(keys, "Block protocol 'file' doesn't");
  return name;
}

/** Keys of every node. They have no effect here, so values that would need one are refused. */
function readShared(keys: Keys, { role, direct, forceShare }: ImageUse): void {
  takeIf(keys, 'read-only', (value, key) => {
    if (bool(value, key) && role === 'target') throw usageError('Block node is read-only');
  });
  takeIf(keys, 'auto-read-only', bool);
  takeIf(keys, 'cache.direct', (value, key) => {
    if (bool(value, key) === direct) return;
    throw unsupported(key, value, `${role === 'source' ? '-T' : '-t'} states the cache mode`);
  });
  takeIf(keys, 'cache.no-flush', bool);
  takeIf(keys, 'force-share', (value, key) => {
    if (!bool(value, key) && forceShare) throw usageError('--force-share/-U conflicts with image options');
  });
  takeIf(keys, 'discard', (value, key) => choice(DISCARD, value, key));
  takeIf(keys, 'detect-zeroes', (value, key) => choice(DETECT_ZEROES, value, key));
  take(keys, 'node-name');
}

function unsupported(key: string, value: string, why: string): Qcow2cError {
  return new Qcow2cError('ERR_UNSUPPORTED', `Option '${key}=${value}' is not supported (${why})`);
}

function noSuchNode(name: string): Qcow2cError {
  return usageError(`Cannot find device='${name}' nor node-name='${name}' (a file is file.filename=NAME)`);
}

function take(keys: Keys, key: string): string | undefined {
  const value = keys.get(key);
  keys.delete(key);
  return value;
}

function takeIf(keys: Keys, key: string, check: (value: string, key: string) => void): void {
  const value = take(keys, key);
  if (value !== undefined) check(value, key);
}

/** Takes the keys of the node `name`, without this prefix; undefined if there are none. */
function takeNode(keys: Keys, name: string): Keys | undefined {
  const reference = take(keys, name);
  if (reference !== undefined) throw noSuchNode(reference);
  const found = [...keys].filter(([key]) => key.startsWith(`${name}.`));
  for (const [key] of found) keys.delete(key);
  return found.length === 0
    ? undefined
    : new Map(found.map(([key, value]) => [key.slice(name.length + 1), value]));
}

/** The node below an image or a raw node. */
function takeFileNode(keys: Keys): Keys {
  const file = takeNode(keys, 'file');
  if (file === undefined) throw usageError('A block device must be specified for "file"');
  return file;
}

function refuseRest(keys: Keys, whoDoesNot: string): void {
  const [key] = keys.keys();
  if (key === undefined) return;
  if (key.startsWith('encrypt.'))
    throw new Qcow2cError('ERR_UNSUPPORTED', 'Encrypted images are not supported');
  throw usageError(`${whoDoesNot} support the option '${key}'`);
}
