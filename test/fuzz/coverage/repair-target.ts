/** The repair of an image: it loses no guest data, makes nothing worse, and leaves nothing that it could repair. */
import { readCheckedImage } from '../../../src/check/checked-image.js';
import { type Finding, weightOf } from '../../../src/check/findings.js';
import { type RepairMode, repairImage } from '../../../src/check/repair.js';
import { RepairFile } from '../../../src/check/repair-file.js';
import type { ErrorCode } from '../../../src/errors.js';
import { guestView, isEntangled } from '../../check/guest-view.js';
import { analysed, isLarge } from './check-target.js';
import { MemoryImage } from './memory-image.js';
import { MemoryStorage } from './memory-storage.js';
import { attempt, promise, promiseSame } from './promises.js';

const REFUSED: readonly ErrorCode[] = ['ERR_FORMAT', 'ERR_CORRUPT', 'ERR_UNSUPPORTED'];
/** A disk for whose cut-off clusters the repair makes room. */
const LARGEST_DISK = 2 ** 24;
/** A refcount table, and blocks for all references. */
const MOST_WRITTEN = 2 ** 25;
/** Of the images whose guest data are compared. */
const LARGEST_FILE = 2 ** 20;

/** Possible faults of an image whose entries are valid or point too far. */
const MENDABLE: readonly Finding['kind'][] = [
  'refcount',
  'past-end',
  'cut-short',
  'overflow',
  'copied-flag-l2-table',
  'copied-flag-cluster',
  'refcount-table-reserved-bits',
  'refcount-block-unaligned',
  'refcount-block-outside',
  'refcount-block-shared',
  'refcount-unreadable',
  'refcount-block-unusable',
  'compressed-copied-flag',
  'snapshot-incomplete',
];

export async function fuzz(input: Uint8Array): Promise<void> {
  const file = MemoryImage.folded(input);
  const { value: image } = await attempt(REFUSED, () => readCheckedImage(file));
  if (image === undefined || isLarge(image) || image.header.virtualSize > LARGEST_DISK) return;
  const before = await analysed(image);
  const compared = Math.min(file.size, LARGEST_FILE);
  const start = startOf(file, compared);
  const entangled = isEntangled(start);
  for (const mode of ['leaks', 'all'] as const) {
    const storage = new MemoryStorage(file, MOST_WRITTEN);
    const repaired = await repair(storage, mode);
    if (!entangled)
      promiseSame(guestView(startOf(storage, compared)), guestView(start), 'the guest sees the same bytes');
    if (repaired.value === undefined) continue;
    promise(
      before.value !== undefined || mode === 'all',
      'leaks are repaired in an image that can be checked',
    );

    const storedSize = storage.size;
    const again = await attempt(REFUSED, () => readCheckedImage(new RepairFile(storage, storedSize)));
    promise(again.value !== undefined, 'a repaired image can be opened', again.error);
    const after = await analysed(again.value);
    promise(after.value !== undefined, 'a repaired image can be checked', after.error);
    const second = await repair(storage, mode);
    promise(second.value !== undefined, 'a repaired image can be repaired', second.error);
    // Invalid entries may refer to tables that the repair has just written.
    if (before.value === undefined || entangled || before.value.findings.some(isGarbled)) continue;
    const most = before.value.totals.corruptions + before.value.totals.checkErrors;
    const left = after.value.findings.filter(isWrong).length;
    promise(left <= most, 'a repair makes nothing worse:', mode, left, most);
    const { leaksFixed, corruptionsFixed } = second.value;
    promiseSame([leaksFixed, corruptionsFixed], [0, 0], 'a repair leaves nothing that it could repair');
  }
}

/** Without copied flags: if only leaks are repaired and more is wrong, flags do not match the refcounts. */
function isWrong(finding: Finding): boolean {
  return !['leak', 'none'].includes(weightOf(finding)) && !finding.kind.startsWith('copied-flag');
}

/** An entry makes no sense, and so perhaps its whole table. */
function isGarbled({ kind }: Finding): boolean {
  return !MENDABLE.includes(kind);
}

function repair(storage: MemoryStorage, mode: RepairMode) {
  return attempt(['ERR_CORRUPT', 'ERR_UNSUPPORTED', 'ERR_LIMIT'], () =>
    repairImage(new RepairFile(storage, storage.size), mode),
  );
}

function startOf(file: { copy(offset: number, into: Uint8Array): number }, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  file.copy(0, bytes);
  return bytes;
}
