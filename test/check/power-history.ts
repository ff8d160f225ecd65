/**
 * A file in memory that records every write and sync, and computes the possible states of a disk after a power failure
 * at any moment. Used by the tests of the repair.
 */
import type { Storage } from '../../src/storage/storage.js';

const SECTOR = 512;

type Step = { readonly offset: number; readonly bytes: Buffer } | 'sync';

export class HistoryFile implements Storage {
  readonly name = 'image';
  readonly alignment = 1;
  readonly steps: Step[] = [];
  bytes: Buffer;
  /** Begins with the bytes, so that growing by a cluster copies nothing most of the times. */
  #room: Buffer;
  /** Number of writes that succeed; all later ones fail. */
  failsAfter = Number.POSITIVE_INFINITY;

  constructor(bytes: Buffer) {
    this.#room = Buffer.from(bytes);
    this.bytes = this.#room;
  }

  async read(offset: number, into: Uint8Array): Promise<number> {
    return this.bytes.copy(into, 0, Math.min(offset, this.bytes.length));
  }

  async write(offset: number, buffers: readonly Uint8Array[]): Promise<void> {
    if (this.failsAfter === 0) throw new Error('the disk is gone');
    this.failsAfter -= 1;
    const step = { offset, bytes: Buffer.concat(buffers) };
    this.steps.push(step);
    const end = offset + step.bytes.length;
    if (end > this.#room.length) {
      this.#room = Buffer.alloc(2 * end);
      this.bytes.copy(this.#room);
    }
    if (end > this.bytes.length) this.bytes = this.#room.subarray(0, end);
    step.bytes.copy(this.bytes, offset);
  }

  async sync(): Promise<void> {
    this.steps.push('sync');
  }
}

function written(file: Buffer, offset: number, bytes: Buffer): Buffer {
  const longer = Buffer.alloc(Math.max(file.length, offset + bytes.length));
  file.copy(longer);
  bytes.copy(longer, offset);
  return longer;
}

/**
 * Possible states of the disk after a power failure: all synced writes, and of the later ones any choice of
 * whole writes, the last of them torn between sectors. Of many choices only some: none, all, all but one, only one.
 */
export function* statesAfterPowerLoss(before: Buffer, steps: readonly Step[]): Generator<Buffer> {
  let durable = before;
  let pending: Exclude<Step, 'sync'>[] = [];
  yield durable;
  for (const step of steps) {
    if (step === 'sync') {
      for (const { offset, bytes } of pending) durable = written(durable, offset, bytes);
      pending = [];
      continue;
    }
    pending.push(step);
    for (const kept of choices(pending.length)) {
      yield pending.reduce(
        (file, { offset, bytes }, n) => (kept(n) ? written(file, offset, bytes) : file),
        durable,
      );
    }
    yield* tornStates(durable, pending);
  }
  yield pending.reduce((file, { offset, bytes }) => written(file, offset, bytes), durable);
}

type Choice = (n: number) => boolean;

/** Which of `count` writes survive. The last one always does; otherwise an earlier state is the same. */
function choices(count: number): Choice[] {
  const last = count - 1;
  if (count <= 5) {
    return Array.from(
      { length: 2 ** last },
      (_, mask) => (n: number) => n === last || ((mask >> n) & 1) === 1,
    );
  }
  const alone = [last, 0, Math.floor(last / 2)].map((kept) => (n: number) => n === kept || n === last);
  const without = [0, Math.floor(last / 2), last - 1].map((lost) => (n: number) => n !== lost);
  return [() => true, ...alone, ...without];
}

/** The last write reaches the disk up to one of its sectors, or from one on. */
function* tornStates(durable: Buffer, pending: readonly Exclude<Step, 'sync'>[]): Generator<Buffer> {
  const last = pending.at(-1);
  if (last === undefined) return;
  const file = pending.slice(0, -1).reduce((so, { offset, bytes }) => written(so, offset, bytes), durable);
  const sectors = Math.ceil(last.bytes.length / SECTOR);
  const places =
    sectors <= 5 ? Array.from({ length: sectors - 1 }, (_, n) => n + 1) : [1, sectors >> 1, sectors - 1];
  for (const sector of places) {
    const cut = sector * SECTOR;
    yield written(file, last.offset, last.bytes.subarray(0, cut));
    yield written(file, last.offset + cut, last.bytes.subarray(cut));
  }
}
