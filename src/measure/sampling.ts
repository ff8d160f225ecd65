/**
 * Converts to the null target and compresses only a sample. Every other piece of the data counts as the sampled piece
 * of its stratum, cluster by cluster. All pieces go through the writer, so tables, refcounts and padding are counted,
 * and a sample of 100 % gives the exact size.
 */
import type { NextItem } from '../convert/input.js';
import type { RunClusters } from '../convert/output.js';
import { internalError } from '../errors.js';
import { allocationUnit } from '../qcow2/image-body.js';
import { UNCHANGED } from '../qcow2/packed-clusters.js';
import type { CompressClusters } from '../workers/messages/compression.js';
import { type PipelineParts, runPipeline } from '../workers/pipeline.js';
import { ITEM_BYTES, type PlannedItem } from '../workers/plan.js';
import type { ItemResult } from '../workers/pool.js';
import { CONFIDENCE, MarginOfError } from './margin.js';
import type { Estimate } from './options.js';
import { type CutItem, cutItems, joinPieces, type PieceSizes, pieceOf } from './pieces.js';
import { Strata } from './strata.js';

/** Placeholder for compressed clusters whose bytes do not matter, only the length. */
const ANY_BYTES = new Uint8Array(ITEM_BYTES);

type PackedItem = ItemResult<CompressClusters>;
type Parts = Omit<PipelineParts<PackedItem>, 'next'>;

interface SamplingOptions {
  /** Above 0, up to 100. */
  readonly percent: number;
  /** Bytes of a piece, which is compressed or skipped as a whole; a power of two up to the items' size. */
  readonly pieceSize: number;
  /** Tests select other samples with it. */
  readonly seed?: number | undefined;
}

export class Sampling {
  readonly #options: SamplingOptions;
  #estimate: Estimate | undefined;

  constructor(options: SamplingOptions) {
    this.#options = options;
  }

  /** The accuracy of the measured size; available after the conversion. */
  get estimate(): Estimate | undefined {
    return this.#estimate;
  }

  /** Replaces the run over all items. */
  readonly run: RunClusters = async (parts, items, clusterSize, settings) => {
    const { percent, seed } = this.#options;
    const sizes = { clusterSize, pieceSize: Math.max(this.#options.pieceSize, clusterSize) };
    const cut = () => cutItems(items(), sizes, settings.signal);
    const { pieces, dataBytes, lastIsShort } = await survey(cut(), sizes);
    const strata = new Strata(pieces, percent, { lastAlone: lastIsShort, seed });
    const piecesOf = new Map<PlannedItem, readonly PlannedItem[]>();
    const sample = sampledItems(cut(), strata, sizes);
    const next: NextItem = async () => {
      const chosen = (await sample.next()).value ?? undefined;
      if (chosen === undefined) return undefined;
      const item = joinPieces(chosen, sizes);
      piecesOf.set(item, chosen);
      return item;
    };
    const others = new Imputation(parts, cut(), sizes);
    const margin = new MarginOfError(sizes.pieceSize);
    let stratum = 0;
    let sampledBytes = 0;
    const end = await runPipeline(
      {
        ...parts,
        next,
        pack: (item, slot) => packSample(parts, item, piecesOf.get(item) ?? [], slot),
        store: async (packed, item) => {
          for (const became of partsOf(packed.sizes, sizes)) {
            const count = strata.size(stratum);
            margin.add(count, storedBytes(became));
            for (let index = 0; index < count; index += 1) await others.becomes(became);
            stratum += 1;
          }
          sampledBytes += item.length;
          piecesOf.delete(item);
        },
      },
      settings,
    );
    // Runs begin at whole clusters and may need another refcount block: even an exact estimate can be two clusters off.
    const rounding = sampledBytes < dataBytes ? 2 * allocationUnit(clusterSize) : 0;
    this.#estimate = {
      margin: Math.ceil(margin.margin) + rounding,
      confidence: CONFIDENCE,
      sampledBytes,
      dataBytes,
    };
    return end;
  };
}

/** Counts the pieces without reading them. */
async function survey(items: AsyncIterable<CutItem>, { pieceSize }: PieceSizes) {
  let count = 0;
  let dataBytes = 0;
  let lastIsShort = false;
  for await (const { item, pieces } of items) {
    for (const from of pieces) {
      const length = Math.min(pieceSize, item.length - from);
      count += 1;
      dataBytes += length;
      lastIsShort = length < pieceSize;
    }
  }
  return { pieces: count, dataBytes, lastIsShort };
}

/** The sampled pieces in guest order, joined into full items. */
async function* sampledItems(
  items: AsyncIterable<CutItem>,
  strata: Strata,
  sizes: PieceSizes,
): AsyncGenerator<readonly PlannedItem[]> {
  let chosen: PlannedItem[] = [];
  let index = 0;
  let stratum = 0;
  for await (const { item, pieces } of items) {
    for (const from of pieces) {
      const isChosen = stratum < strata.count && index === strata.chosen(stratum);
      index += 1;
      if (!isChosen) continue;
      stratum += 1;
      chosen.push(pieceOf(item, from, sizes));
      if (chosen.length < ITEM_BYTES / sizes.pieceSize) continue;
      yield chosen;
      chosen = [];
    }
  }
  if (chosen.length > 0) yield chosen;
}

/** As `pack`; on failure packs each piece separately to locate the error. */
async function packSample(
  { pack }: Parts,
  item: PlannedItem,
  pieces: readonly PlannedItem[],
  slot: number,
): Promise<PackedItem> {
  try {
    return await pack(item, slot);
  } catch (error) {
    for (const piece of pieces) await pack(piece, slot);
    throw error;
  }
}

/** The results of each piece's clusters. */
function partsOf(sizes: Uint32Array, { pieceSize, clusterSize }: PieceSizes): Uint32Array[] {
  const clusters = pieceSize / clusterSize;
  return Array.from({ length: Math.ceil(sizes.length / clusters) }, (_, index) =>
    sizes.slice(index * clusters, (index + 1) * clusters),
  );
}

/** Bytes of the clusters that are stored. */
function storedBytes(sizes: Uint32Array): number {
  return sizes.reduce((sum, size) => (size === UNCHANGED ? sum : sum + size), 0);
}

/** Stores every piece with the result of a sampled one. */
class Imputation {
  readonly #parts: Parts;
  readonly #items: AsyncGenerator<CutItem>;
  readonly #sizes: PieceSizes;
  /** The current item, the number of its pieces done so far, and the results of its clusters. */
  #current: CutItem | undefined;
  #done = 0;
  #became = new Uint32Array(0);

  constructor(parts: Parts, items: AsyncGenerator<CutItem>, sizes: PieceSizes) {
    this.#parts = parts;
    this.#items = items;
    this.#sizes = sizes;
  }

  /** Gives the next piece the result of a sampled one; a short piece gets the first part of it. */
  async becomes(sizes: Uint32Array): Promise<void> {
    this.#current ??= await this.#nextItem();
    const { item, pieces } = this.#current;
    const { clusterSize, pieceSize } = this.#sizes;
    const from = pieces[this.#done] ?? 0;
    const count = Math.ceil(Math.min(pieceSize, item.length - from) / clusterSize);
    this.#became.set(sizes.subarray(0, count), from / clusterSize);
    this.#done += 1;
    if (this.#done < pieces.length) return;
    this.#current = undefined;
    const packed = { sizes: this.#became, copied: 0, subclusters: undefined, unreadable: [] };
    await this.#parts.store({ ...packed, bytes: ANY_BYTES }, item);
  }

  async #nextItem(): Promise<CutItem> {
    for (;;) {
      const { value } = await this.#items.next();
      if (!value) throw internalError('more pieces in the strata than in the data');
      if (value.pieces.length === 0) continue;
      const { length, changed } = value.item;
      this.#done = 0;
      this.#became = new Uint32Array(Math.ceil(length / this.#sizes.clusterSize));
      if (changed !== undefined) this.#became.fill(UNCHANGED);
      return value;
    }
  }
}
