/** Payloads of compressed clusters as inputs: inflated by the native engines and by those built into Node.js. */
import type { CompressionType } from '../../../src/compression-type.js';
import type { Decompressor } from '../../../src/engines/codec.js';
import { CorruptPayload } from '../../../src/engines/corrupt-payload.js';
import { createDecompressor, nodeInflates } from '../../../src/engines/create-engine.js';
import { ItemError } from '../../../src/workers/item-failure.js';
import { ClusterInflater } from '../../../src/workers/tasks/cluster-inflater.js';
import type { PositionalReader } from '../../../src/workers/tasks/positional-reader.js';
import { promise, promiseSame } from './promises.js';

const SECTOR = 512;
const LARGEST_CLUSTER = 4096;
/** Guard bytes after the cluster's memory: they detect an engine that writes there. */
const FENCE = 64;
const FENCE_BYTE = 0xa5;

/** What one of the engines made of a payload. */
interface Inflated {
  /** Bytes that the payload took. */
  readonly taken: number;
  readonly cluster: Uint8Array;
}

interface Payload {
  readonly bytes: Uint8Array;
  /** Bytes of the cluster that it is of: 512 to 4096. */
  readonly clusterSize: number;
  /** undefined: refused. */
  readonly usual: Inflated | undefined;
  /** By the engine built into Node.js, where it has one. */
  readonly node: Inflated | undefined;
}

interface Engines {
  readonly inflater: ClusterInflater;
  readonly node: Decompressor;
}

const engines = new Map<CompressionType, Promise<Engines>>();
/** Where the present payload is: no two inputs have the same place, and so none is remembered for another. */
let offset = 0;
/** The expected bytes for the worker's reader. */
let stored: Uint8Array = new Uint8Array(0);

async function makeEngines(type: CompressionType): Promise<Engines> {
  const reader = { read: () => ({ bytes: stored, found: stored.length }) } as unknown as PositionalReader;
  const usual = await createDecompressor({ type });
  const node = await createDecompressor({ type, engine: nodeInflates(type) ? 'node' : undefined });
  return { inflater: new ClusterInflater(reader, new Map([[type, usual]]), false), node };
}

/** @param input a byte for the cluster's size, then the payload and trailing bytes */
export async function inflatePayload(type: CompressionType, input: Uint8Array): Promise<Payload | undefined> {
  const made = engines.get(type) ?? makeEngines(type);
  engines.set(type, made);
  const { inflater, node } = await made;
  const [size = 0] = input;
  const clusterSize = SECTOR << (size & 3);
  stored = input.subarray(1, 1 + 2 * clusterSize + SECTOR);
  if (stored.length === 0) return undefined;
  offset += 1;
  const place = {
    kind: 'compressed',
    descriptor: 5,
    offset,
    at: 0,
    length: clusterSize,
    skip: 0,
  } as const;
  const runEnd = offset + stored.length;
  const segment = { ...place, type, storedLength: stored.length, runEnd, inflatedLength: clusterSize };
  const usually = inflated(clusterSize, (into) => inflater.inflateInto(segment, into).payload?.length);
  const byNode = inflated(clusterSize, (into) => node.decompress(stored, into));
  promise((usually === undefined) === (byNode === undefined), 'both engines take a payload, or neither');
  if (usually !== undefined && byNode !== undefined) {
    promiseSame(usually.taken, byNode.taken, 'both take as much of the payload');
    promise(Buffer.compare(usually.cluster, byNode.cluster) === 0, 'both make the same of a payload');
    promise(
      Buffer.compare(inflater.inflate(segment).cluster, byNode.cluster) === 0,
      'and so they do once more',
    );
  }
  return { bytes: stored, clusterSize, usual: usually, node: byNode };
}

const memory = new Uint8Array(LARGEST_CLUSTER + FENCE);

/** @param inflate fills exactly the given memory @returns undefined if it refuses the payload */
function inflated(
  clusterSize: number,
  inflate: (into: Uint8Array) => number | undefined,
): Inflated | undefined {
  memory.fill(FENCE_BYTE);
  let taken: number | undefined;
  try {
    taken = inflate(memory.subarray(0, clusterSize));
  } catch (error) {
    const isRefusal =
      error instanceof ItemError ? error.failure.kind === 'corrupt' : error instanceof CorruptPayload;
    if (!isRefusal) throw error;
  }
  promise(
    memory.subarray(clusterSize).every((byte) => byte === FENCE_BYTE),
    'nothing is written after a cluster',
  );
  if (taken === undefined) return undefined;
  promise(taken > 0 && taken <= stored.length, 'a payload ends inside the bytes read', taken);
  return { taken, cluster: memory.slice(0, clusterSize) };
}
