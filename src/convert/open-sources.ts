/** Opens what a conversion reads: finds the formats, refuses what is not read, joins several into one. */
import * as fs from 'node:fs';
import { ioError, Qcow2cError, quoted, usageError } from '../errors.js';
import { Concatenation } from '../image/concatenation.js';
import type { ImageFormat } from '../image/image-reference.js';
import { PROBE_BYTES, probeFormat } from '../image/probe.js';
import type { Source } from '../image/source.js';
import { openForReading, RawSource } from '../raw/raw-source.js';
import { DIRECT_ALIGNMENT } from '../storage/aligned-memory.js';

export interface OpenedSources {
  readonly source: Source;
  /** What offset, length and address of a read on any descriptor must be multiples of, in bytes. */
  readonly readAlignment: number;
}

/**
 * @param names at least one file
 * @param format undefined: look at each file
 * @param direct read past the page cache where the file system can
 * @throws Qcow2cError ERR_IO, ERR_UNSUPPORTED, ERR_USAGE; nothing stays open then
 */
export async function openSources(
  names: readonly string[],
  format: ImageFormat | undefined,
  direct: boolean,
): Promise<OpenedSources> {
  if (names.length === 0) throw usageError('Must specify image file name');
  const sources: Source[] = [];
  let readAlignment = 1;
  try {
    for (const name of names) {
      if ((format ?? probeFile(name)) === 'qcow2') {
        throw new Qcow2cError(
          'ERR_UNSUPPORTED',
          `${quoted(name)} is a qcow2 image: not supported yet as a source`,
          {
            file: name,
          },
        );
      }
      const opened = openForReading(name, direct);
      if (opened.direct) readAlignment = DIRECT_ALIGNMENT;
      sources.push(await RawSource.open(opened.descriptor, name));
    }
  } catch (error) {
    await Promise.all(sources.map((source) => source.close()));
    throw error;
  }
  const [only] = sources;
  const source = sources.length === 1 && only !== undefined ? only : new Concatenation(sources);
  return { source, readAlignment };
}

/** The format of a file, by its first bytes, read through a descriptor of their own. */
function probeFile(name: string): ImageFormat {
  const { descriptor } = openForReading(name, false);
  try {
    const start = new Uint8Array(PROBE_BYTES);
    const length = fs.readSync(descriptor, start, 0, PROBE_BYTES, 0);
    return probeFormat(start.subarray(0, length), name);
  } catch (error) {
    if (error instanceof Qcow2cError) throw error;
    throw ioError(`Could not read ${quoted(name)} at offset 0`, error, { file: name, offset: 0 });
  } finally {
    fs.closeSync(descriptor);
  }
}

/**
 * Refuses a target that is one of the sources, under whatever name.
 * @throws Qcow2cError ERR_USAGE
 */
export function refuseSameFile(sources: readonly string[], target: string): void {
  const there = statIfThere(target);
  if (there === undefined) return;
  for (const name of sources) {
    const source = statIfThere(name);
    const isDevice = there.isBlockDevice() && source?.isBlockDevice() === true;
    const isSame = isDevice
      ? source.rdev === there.rdev
      : source?.dev === there.dev && source.ino === there.ino;
    if (isSame) {
      throw usageError(`Source ${quoted(name)} and target ${quoted(target)} are the same file`, {
        file: target,
      });
    }
  }
}

/** Why a file cannot be looked at is said by whoever opens it. */
function statIfThere(name: string): fs.BigIntStats | undefined {
  try {
    return fs.statSync(name, { bigint: true });
  } catch {
    return undefined;
  }
}
