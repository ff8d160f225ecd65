/**
 * Names that refer to a stream: named pipes, and the names that Linux gives to this process's own descriptors
 * (/dev/stdin, and /dev/fd/63 of a shell's `<(...)`). Used by the commands that read a stream as a source.
 */
import * as fs from 'node:fs';
import { stat } from 'node:fs/promises';
import { ioError, Qcow2cError, quoted } from '../errors.js';
import { isForWriting, ownDescriptor, positionOf } from '../system/descriptor-facts.js';

/**
 * Whether the file of this name can be read only once, from start to end: a pipe or socket, a character device behind
 * one of this process's descriptors, or a file whose descriptor is no longer at its start. Opens nothing. A name that
 * does not exist is not a stream.
 */
export async function isStreamName(name: string): Promise<boolean> {
  const descriptor = ownDescriptor(name);
  if (descriptor === undefined) return (await statsAt(name))?.isFIFO() === true;
  const stats = statsOf(descriptor);
  if (stats === undefined) return false;
  if (stats.isFile()) return (positionOf(descriptor) ?? 0) > 0;
  return stats.isFIFO() || stats.isSocket() || stats.isCharacterDevice();
}

/**
 * Opens the stream of such a name. This process's own descriptors are used directly: opening one again may be
 * forbidden, and would read a file from its start. A named pipe is opened without waiting for its writer, because
 * waiting would block signals.
 * @throws Qcow2cError ERR_IO; ERR_UNSUPPORTED for a pipe that cannot end
 */
export async function openNamedStream(
  name: string,
): Promise<{ readonly stream: number; readonly name: string }> {
  await refuseOwnWriter(name);
  const descriptor = ownDescriptor(name);
  if (descriptor !== undefined) return { stream: descriptor, name };
  try {
    return { stream: fs.openSync(name, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK), name };
  } catch (error) {
    throw ioError(`Could not open ${quoted(name)}`, error, { file: name });
  }
}

/** Refuses a pipe that this process can write to, because it would never end. Node.js has such pipes of its own. */
async function refuseOwnWriter(name: string): Promise<void> {
  const pipe = await statsAt(name);
  if (!pipe?.isFIFO() || !openDescriptors().some((descriptor) => writesTo(descriptor, pipe))) return;
  const reason = 'it is open for writing in this process too, so it would never end';
  throw new Qcow2cError('ERR_UNSUPPORTED', `Could not read ${quoted(name)}: ${reason}`, { file: name });
}

function writesTo(descriptor: number, { dev, ino }: fs.Stats): boolean {
  const found = statsOf(descriptor);
  return found?.ino === ino && found.dev === dev && isForWriting(descriptor);
}

function openDescriptors(): number[] {
  try {
    return fs.readdirSync('/proc/self/fd').map(Number);
  } catch {
    return [];
  }
}

function statsOf(descriptor: number): fs.Stats | undefined {
  try {
    return fs.fstatSync(descriptor);
  } catch {
    return undefined;
  }
}

/** If the name cannot be examined, the later open reports the error. */
async function statsAt(name: string): Promise<fs.Stats | undefined> {
  try {
    return await stat(name);
  } catch {
    return undefined;
  }
}
