/** The disk to convert, in the form that the pipeline reads: images, or a stream. */
import type { CompressionType } from '../compression-type.js';
import type { OpenedImage } from '../image/open-image.js';
import type { Source } from '../image/source.js';
import type { ComparableDisk } from '../workers/compare-items.js';
import type { PlannedItem, PlanSettings } from '../workers/plan.js';
import type { ChangedClusters } from './changed-clusters.js';
import type { ContentDigest } from './content-digest.js';

/** Returns the next item in guest order, for a slot of the pool; undefined at the end. */
export type NextItem = (slot: number) => Promise<PlannedItem | undefined>;

export interface ItemSettings extends PlanSettings {
  /** The disk of the target's backing file; undefined: the target has none. */
  readonly backing: Source | undefined;
  /** Store these clusters only; undefined: those that differ from the backing file. */
  readonly changed?: ChangedClusters | undefined;
  /** With `changed`: compare these clusters with the backing file. Default: false. */
  readonly compareWithBacking?: boolean | undefined;
  /** Of the target, in bytes. */
  readonly clusterSize: number;
  /** Over a backing file: read clusters that equal its own, too. Default: false. */
  readonly readsAll?: boolean | undefined;
  /** What fits into the target; undefined: no limit. */
  readonly room: TargetRoom | undefined;
}

export interface TargetRoom {
  readonly bytes: number;
  /** The target's name, for messages. */
  readonly target: string;
}

/** The memory of a pool in which the items of a stream arrive. */
interface ArrivalMemory {
  /** @returns the whole slot */
  arrivalSlot(slot: number): Uint8Array;
}

/** Closes the images or the stream when it is disposed of; that never throws. */
export interface Input extends AsyncDisposable {
  /** The name for messages. */
  readonly name: string;
  /** Bytes of the virtual disk; undefined: a stream of unknown size. */
  readonly size: number | undefined;
  /** The size for showing progress, which may be a guess; undefined: not known. */
  readonly likelySize: number | undefined;
  /** The images in the order of their names; none for a stream. */
  readonly images: readonly OpenedImage[];
  readonly compressionTypes: ReadonlySet<CompressionType>;
  /** Offset, length and address of a read on any descriptor must be multiples of this, in bytes. */
  readonly readAlignment: number;
  /** Milliseconds until every later write had to change a file's times. */
  readonly settledMs: number;
  /** Whether the bytes of items arrive in the pool's memory. */
  readonly arrives: boolean;
  /** The content to verify the target with: the images, or the digest of the stream if there is one. */
  readonly content: ComparableDisk | ContentDigest | undefined;
  fileOf(descriptor: number): string | undefined;
  items(settings: ItemSettings, pool: ArrivalMemory): NextItem;
  /** @throws Qcow2cError ERR_SOURCE_CHANGED */
  refuseChanges(): Promise<void>;
}
