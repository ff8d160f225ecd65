/**
 * The source as QEMU's block status shows it: what an image's tables say is data counts as data, also where the
 * file has a hole, unless the image looks preallocated (qcow2_co_block_status in block/qcow2.c).
 */
import { fstatSync } from 'node:fs';
import { BackingChain } from '../image/backing-chain.js';
import type { HostFile, Layer, MappedRange, Source } from '../image/source.js';
import { type Qcow2Start, snapshotState } from '../open/image-start.js';
import type { OpenedImage, OpenedLayer } from '../open/open-image.js';
import { refuseAbort } from '../pipeline/pipeline.js';
import { INCOMPATIBLE_DATA_FILE } from '../qcow2/features.js';
import { looksPreallocated } from '../qcow2/preallocated.js';
import { Qcow2Layer } from '../qcow2/qcow2-layer.js';
import type { SnapshotSelector } from '../qcow2/snapshot-table.js';
import { roundDown, roundUp } from '../storage/aligned-memory.js';

/** POSIX counts a file's blocks in units of this, whatever they are. */
const STAT_BLOCK_BYTES = 512;

/**
 * @param image open; it stays the caller's, also to be closed
 * @param snapshot that it was opened with
 * @throws Qcow2cError ERR_IO, ERR_CORRUPT
 */
export async function blockStatus(
  { layers: [top, ...below] }: OpenedImage,
  snapshot: SnapshotSelector | undefined,
): Promise<Source> {
  const first = await statusLayer(top, snapshot);
  const others = [];
  for (const layer of below) others.push(await statusLayer(layer, undefined));
  return new BackingChain([first, ...others]);
}

async function statusLayer(
  { layer, qcow2 }: OpenedLayer,
  snapshot: SnapshotSelector | undefined,
): Promise<Layer> {
  if (qcow2 === undefined || (await isPreallocated(qcow2))) return layer;
  const { file, header } = qcow2;
  const state = snapshot === undefined ? undefined : await snapshotState(qcow2, snapshot);
  const solid = withoutHoles(file);
  const isExternal = (header.incompatibleFeatures & INCOMPATIBLE_DATA_FILE) !== 0n;
  return new Qcow2Layer(header, solid, isExternal ? solid : undefined, state);
}

function isPreallocated({ file, header }: Qcow2Start): Promise<boolean> {
  const { blocks } = fstatSync(file.descriptor);
  return looksPreallocated(file, header, { length: file.size, allocated: blocks * STAT_BLOCK_BYTES });
}

/** The same file, with data wherever anybody asks, also past its end. */
function withoutHoles(file: HostFile): HostFile {
  const { name, descriptor } = file;
  const map = async (offset: number): Promise<MappedRange> => {
    return { kind: 'data', length: Number.MAX_SAFE_INTEGER - offset, descriptor, offset };
  };
  return {
    name,
    descriptor,
    size: Number.MAX_SAFE_INTEGER,
    map,
    read: (offset, into) => file.read(offset, into),
    fileOf: (fd) => file.fileOf(fd),
    refuseChanges: () => file.refuseChanges(),
    close: () => file.close(),
  };
}

/**
 * @param clusterSize bytes
 * @returns bytes of all clusters of that size in which the source has data
 * @throws what the source's map throws, or says of what cannot be read; ERR_ABORTED
 */
export async function dataClusterBytes(
  source: Source,
  clusterSize: number,
  signal: AbortSignal | undefined,
): Promise<number> {
  let bytes = 0;
  for (let at = 0; at < source.size; ) {
    refuseAbort(signal);
    const range = await source.map(at);
    if (range.kind === 'unreadable') throw range.error;
    let end = at + range.length;
    if (range.kind !== 'zero') {
      end = roundUp(end, clusterSize);
      bytes += end - roundDown(at, clusterSize);
    }
    at = end;
  }
  return bytes;
}
