/** Whether a target is one of the standard streams, which also take what a command prints. */
import { type BigIntStats, fstatSync, statSync } from 'node:fs';
import type { ConvertOptions } from '../../convert/options.js';
import { Qcow2cError, quoted } from '../../errors.js';
import { streamTitle } from '../../storage/stream-name.js';
import { ownDescriptor } from '../../system/descriptor-facts.js';
import { fileIdentity } from '../../system/file-identity.js';

type Target = ConvertOptions['target'];

const STANDARD_OUTPUT = 1;
const STANDARD_ERROR = 2;

/** Whether the image goes to standard output, under whatever name: a symbolic link to /dev/stdout is one, too. */
export function isStandardOutput(target: Target): boolean {
  const own = typeof target === 'string' ? ownDescriptor(target) : target.stream;
  return own === STANDARD_OUTPUT || isSameFile(target, STANDARD_OUTPUT);
}

/**
 * Refuses a target whose bytes would mix with messages: standard error, and a stream that it was redirected to
 * (`2>&1`). A file that is named is no such target: the image gets a file of its own.
 * @throws Qcow2cError ERR_USAGE
 */
export function refuseStandardError(target: Target): void {
  const isDescriptor = typeof target !== 'string' || ownDescriptor(target) !== undefined;
  if (!isSameFile(target, STANDARD_ERROR, (stats) => isDescriptor || stats.isFIFO())) return;
  const name = typeof target === 'string' ? target : streamTitle(target);
  throw new Qcow2cError(
    'ERR_USAGE',
    `Refusing to write an image to ${quoted(name)}: standard error goes there too, and messages would be mixed into ` +
      'the image. Redirect standard error to another file, or name another target',
    { file: name },
  );
}

/** @param isMeant whether the target's file counts; by default any does */
function isSameFile(
  target: Target,
  descriptor: number,
  isMeant: (stats: BigIntStats) => boolean = () => true,
): boolean {
  try {
    const [one, other] = [statsOf(target), fstatSync(descriptor, { bigint: true })];
    // Bytes for /dev/null are lost anyway, and a terminal is refused as a target.
    if (one === undefined || one.isCharacterDevice() || !isMeant(one)) return false;
    return fileIdentity(one) === fileIdentity(other);
  } catch {
    // A new file, an NBD export, or a descriptor that is closed.
    return false;
  }
}

function statsOf(target: Target): BigIntStats | undefined {
  if (typeof target === 'string') return statSync(target, { bigint: true });
  return typeof target.stream === 'number' ? fstatSync(target.stream, { bigint: true }) : undefined;
}
