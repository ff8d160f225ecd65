/** What a worker thread has for one pool: its engines, its memory, and what takes the items. */
import type { CompressionType } from '../compression-type.js';
import type { Decompressor } from '../engines/codec.js';
import { createCompressor, createDecompressor, nodeInflates } from '../engines/engine-choice.js';
import type { PoolItem, WorkAnswer, WorkerSetup } from './messages.js';
import { DiskComparer } from './tasks/compare-disks.js';
import { ClusterCompressor } from './tasks/compress-clusters.js';
import { PayloadExaminer } from './tasks/examine-payloads.js';
import { RunFinder } from './tasks/find-runs.js';
import { threadMemory } from './tasks/thread-memory.js';

/** Takes the items that a setup asks for, of which there are no others. */
interface Packer {
  pack(item: never): WorkAnswer;
}

interface Engine {
  free(): void;
}

export class WorkerSession {
  readonly #packer: Packer;
  readonly #engines: readonly Engine[];

  /** @throws Qcow2cError ERR_ENGINE when an engine cannot be had */
  static async create(setup: WorkerSetup): Promise<WorkerSession> {
    const engines: Engine[] = [];
    try {
      return new WorkerSession(await createPacker(setup, engines), engines);
    } catch (error) {
      giveBack(engines);
      throw error;
    }
  }

  private constructor(packer: Packer, engines: readonly Engine[]) {
    this.#packer = packer;
    this.#engines = engines;
  }

  /** @throws SegmentError, or what an engine throws */
  pack(item: PoolItem): WorkAnswer {
    return this.#packer.pack(item as never);
  }

  /** Gives everything back; nothing can be packed afterwards. */
  release(): void {
    giveBack(this.#engines);
  }
}

function giveBack(engines: readonly Engine[]): void {
  for (const engine of engines) engine.free();
  threadMemory.giveBackAll();
}

/** @param engines takes those that were made, also when the next one fails */
async function createPacker(setup: WorkerSetup, engines: Engine[]): Promise<Packer> {
  const decompressors = new Map<CompressionType, Decompressor>();
  // One after the other: of those made at once, one would come when another has failed, and be nobody's.
  for (const type of setup.inflate) {
    const engine = setup.inflateWithNode && nodeInflates(type) ? 'node' : undefined;
    const decompressor = await createDecompressor({ type, engine });
    engines.push(decompressor);
    decompressors.set(type, decompressor);
  }
  switch (setup.output) {
    case 'clusters': {
      const compressor = setup.compressor && (await createCompressor(setup.compressor));
      if (compressor !== undefined) engines.push(compressor);
      return new ClusterCompressor(setup, compressor, decompressors);
    }
    case 'runs':
      return new RunFinder(setup, decompressors);
    case 'comparison':
      return new DiskComparer(setup, decompressors);
    case 'examination': {
      const decompressor = await createDecompressor({ type: setup.type });
      engines.push(decompressor);
      return new PayloadExaminer(setup, decompressor);
    }
  }
}
