/** A qcow2 image as a layer of a chain: its cluster map, and the files that hold its data. */
import { roundDown } from '../arithmetic.js';
import type { HostFile, Layer, LayerRange } from '../image/source.js';
import { SECTOR_SIZE } from '../sector.js';
import { ClusterLookup, type ImageTables, type LookupSettings } from './cluster-lookup.js';
import { ClusterMap } from './cluster-map.js';
import { hasExtendedL2 } from './features.js';
import type { Header } from './header.js';

/** An L1 table, active or of a snapshot, and the size of the disk, which is that of the image for a snapshot too. */
export interface DiskState {
  readonly l1Offset: number;
  readonly l1Entries: number;
  /** Bytes. */
  readonly virtualSize: number;
}

export class Qcow2Layer implements Layer {
  readonly name: string;
  /** Whole sectors: QEMU rounds the size down. */
  readonly size: number;
  readonly header: Header;
  /** The file of the image. */
  readonly file: HostFile;
  /** The external data file; undefined: the image holds its clusters. */
  readonly dataFile: HostFile | undefined;
  readonly #tables: ImageTables;
  readonly #map: ClusterMap;

  /**
   * @param header of the image in `file`, decoded
   * @param state the L1 table to be read; default: the header's
   * @param file the image; closed with the layer
   * @param dataFile the external data file, likewise; undefined: the image holds its clusters
   */
  constructor(header: Header, file: HostFile, dataFile: HostFile | undefined, state: DiskState = header) {
    this.name = file.name;
    this.size = roundDown(state.virtualSize, SECTOR_SIZE);
    this.header = header;
    this.file = file;
    this.dataFile = dataFile;
    const { version, clusterBits, compressionType } = header;
    const { l1Offset, l1Entries } = state;
    const extendedL2 = hasExtendedL2(header);
    const external = dataFile !== undefined;
    this.#tables = {
      version,
      clusterBits,
      virtualSize: this.size,
      l1Offset,
      l1Entries,
      extendedL2,
      external,
    };
    this.#map = new ClusterMap({ ...this.#tables, compressionType }, file, dataFile);
  }

  /** Creates a lookup that ignores the length of the files, with a table cache of its own. */
  lookup(settings: Omit<LookupSettings, 'keptPlaces'>): ClusterLookup {
    return new ClusterLookup(this.#tables, this.file, { ...settings, keptPlaces: true });
  }

  map(offset: number): Promise<LayerRange> {
    return this.#map.map(offset);
  }

  fileOf(descriptor: number): string | undefined {
    return this.file.fileOf(descriptor) ?? this.dataFile?.fileOf(descriptor);
  }

  async refuseChanges(): Promise<void> {
    await this.file.refuseChanges();
    await this.dataFile?.refuseChanges();
  }

  async close(): Promise<void> {
    await Promise.all([this.file.close(), this.dataFile?.close()]);
  }
}
