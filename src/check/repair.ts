/**
 * Repairs an image in place, as far as this needs no guess. Used by `check`. Rules: qcow2_co_check with
 * BDRV_FIX_LEAKS and BDRV_FIX_ERRORS in QEMU.
 *
 * If any write fails, the image is not worse than before and can be repaired again. Everything is analysed before
 * anything is written. Refcounts are raised, or new tables written to unused space, before anything relies on them.
 * Only then are refcounts lowered. Copied flags follow the refcounts, and the marks of a dirty or corrupt image are
 * cleared last. The file is synced between these steps.
 */
import { Qcow2cError, quoted } from '../errors.js';
import { openTarget } from '../storage/open-target.js';
import { type CheckedImage, readCheckedImage } from './checked-image.js';
import type { CheckTotals, Finding, ImagePart, WrongRefcount } from './findings.js';
import { type EntryRepair, repairCopiedFlags, repairEntries } from './repair-entries.js';
import { RepairFile } from './repair-file.js';
import {
  clearMarks,
  isMarked,
  type TablePointers,
  writeKnownAutoclear,
  writeTablePointers,
} from './repair-header.js';
import { writeNewRefcounts } from './repair-rebuild.js';
import { repairRefcounts } from './repair-refcounts.js';
import { type NewSnapshotTable, writeNewSnapshotTable } from './repair-snapshots.js';
import { isOneOf, isRepairableEntry, type RepairSurvey, type Suspects, survey } from './repair-survey.js';

/** `leaks`: clusters without references; `all`: every finding that can be repaired. */
export type RepairMode = 'leaks' | 'all';

export interface RepairOptions {
  /** Called for every finding, and again when it is repaired. */
  readonly onFinding?: ((finding: Finding, repairing: boolean) => void | Promise<void>) | undefined;
  /** Called before the refcount table and all blocks are replaced. */
  readonly onRebuild?: (() => void) | undefined;
  /** Called with the reason why nothing was repaired although there are findings, and with advice: one sentence. */
  readonly onRefusal?: ((reason: string) => void) | undefined;
  /** Called with the part of the first analysis that is done, 0 to 1. */
  readonly onShare?: ((share: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** As for the analysis; tests set it. */
  readonly windowClusters?: number | undefined;
}

export interface RepairOutcome {
  readonly leaksFixed: number;
  readonly corruptionsFixed: number;
  /** The findings before the repair. */
  readonly totals: CheckTotals;
}

/**
 * @throws Qcow2cError as `analyse`; ERR_CORRUPT when only leaks are to be repaired but the refcounts are damaged too;
 *   ERR_LIMIT, ERR_IO
 */
export function repairImage(
  file: RepairFile,
  mode: RepairMode,
  options: RepairOptions = {},
): Promise<RepairOutcome> {
  return new Repair(file, mode, options).run();
}

/**
 * Opens an image for reading and writing, through the page cache, and repairs it.
 * @throws Qcow2cError as `repairImage`; ERR_IO when it cannot be opened for writing, before anything else
 */
export async function repairInPlace(
  path: string,
  mode: RepairMode,
  options: RepairOptions,
): Promise<RepairOutcome> {
  const { file, existingSize } = await openTarget(path, 'writeback', true);
  try {
    return await repairImage(new RepairFile(file, existingSize), mode, options);
  } finally {
    await file.close();
  }
}

/** Advice for an image with missing parts. */
const INSTEAD =
  "restore the file from a copy, or save what can still be read with 'qcow2c convert --salvage'";
const ARTICLES: Partial<Record<ImagePart, string>> = {
  'L1 table': 'an',
  'L2 table': 'an',
  'snapshot table': 'the',
  'bitmap directory': 'the',
};

class Repair {
  readonly #file: RepairFile;
  readonly #repairsAll: boolean;
  readonly #options: RepairOptions;
  /** Tables for the header, which names them once all their parts are durable. */
  #planned: Partial<TablePointers> = {};
  #newSnapshots: NewSnapshotTable | undefined;
  /** The snapshot table needs repair, and there is no place for a new one. */
  #lacksSnapshots = false;
  #hasBegun = false;

  constructor(file: RepairFile, mode: RepairMode, options: RepairOptions) {
    this.#file = file;
    this.#repairsAll = mode === 'all';
    this.#options = options;
  }

  async run(): Promise<RepairOutcome> {
    if (this.#repairsAll) await this.#planSnapshots();
    const first = await this.#survey((finding) => {
      const isToldLater = this.#repairsAll && isRepairableEntry(finding);
      if (!isToldLater) return this.#options.onFinding?.(finding, false);
    }, this.#options.onShare);
    const refusal = this.#refusal(first);
    if (!this.#repairsAll && first.totals.needsRebuild) throw this.#needsMore(first);
    if (refusal !== undefined) {
      if (this.#repairsAll && first.entries > 0) await this.#tellEntries();
      this.#options.onRefusal?.(refusal);
      const asItIs = this.#newSnapshots === undefined;
      this.#planned = {};
      // Without the planned snapshot table the check of the image could fail.
      const totals = asItIs ? first.totals : (await this.#survey()).totals;
      return { leaksFixed: 0, corruptionsFixed: 0, totals };
    }

    const entriesFixed = this.#repairsAll && first.entries > 0 ? await this.#repairEntries(first) : 0;
    const before = entriesFixed > 0 ? await this.#survey() : first;
    const areRefcountsChanged = await this.#repairRefcounts(before);
    const after = areRefcountsChanged ? await this.#survey() : before;
    const flagsFixed = after.copiedFlags > 0 ? await this.#repairCopiedFlags(after) : 0;

    const isChanged = entriesFixed > 0 || areRefcountsChanged || flagsFixed > 0;
    await this.#clearMarks(isChanged ? undefined : first);
    return {
      leaksFixed: Math.max(0, before.leaks - after.leaks),
      corruptionsFixed:
        (this.#newSnapshots?.corruptions ?? 0) +
        entriesFixed +
        Math.max(0, before.corruptions - after.corruptions) +
        flagsFixed,
      totals: first.totals,
    };
  }

  /** The reason why nothing may be changed; undefined: the repair can go on. */
  #refusal({ unreadTable, lacksRefcounts, isCut, needsNewRefcounts }: RepairSurvey): string | undefined {
    const what = `${quoted(this.#file.name)} was not repaired`;
    if (unreadTable !== undefined) {
      const table = `${ARTICLES[unreadTable] ?? 'a'} ${unreadTable}`;
      return `${what}: ${table} could not be read completely, so clusters reported as leaks may be in use; ${INSTEAD}`;
    }
    if (!this.#repairsAll) {
      if (!lacksRefcounts) return undefined;
      return `${what}: parts of its refcounts are missing, because the file is too short; 'qcow2c check -r all' rebuilds them`;
    }
    if (!isCut || !(needsNewRefcounts || this.#lacksSnapshots)) return undefined;
    return (
      `${what}: new tables would extend the file, and its missing clusters ` +
      `would then read as zeros without an error; ${INSTEAD}`
    );
  }

  /** Reports findings that a repair would otherwise report. */
  async #tellEntries(): Promise<void> {
    await this.#survey((finding) => {
      if (isRepairableEntry(finding)) return this.#options.onFinding?.(finding, false);
    });
  }

  /** The image as it will be once the header names the planned tables. */
  async #image(): Promise<CheckedImage> {
    const image = await readCheckedImage(this.#file);
    return { ...image, header: { ...image.header, ...this.#planned } };
  }

  async #survey(
    onFinding?: (finding: Finding) => void | Promise<void>,
    onShare?: ((share: number) => void) | undefined,
  ): Promise<RepairSurvey> {
    const { signal, windowClusters } = this.#options;
    const own = this.#newSnapshots?.own;
    return survey(await this.#image(), { own, onFinding, onShare, signal, windowClusters });
  }

  /** Called before the first write, even one to unused space (specification: autoclear_features). */
  async #begin(): Promise<void> {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    await writeKnownAutoclear(this.#file, (await this.#image()).header);
  }

  async #planSnapshots(): Promise<void> {
    const { onFinding } = this.#options;
    const findEnd = () => this.#findEnd();
    this.#newSnapshots = await writeNewSnapshotTable(this.#file, await this.#image(), findEnd, onFinding);
    if (this.#newSnapshots === undefined) return;
    const { snapshotCount, snapshotsOffset } = this.#newSnapshots;
    this.#planned = { snapshotCount, snapshotsOffset };
  }

  /** @returns the first cluster after the file and all references; undefined: nothing may be written there */
  async #findEnd(): Promise<number | undefined> {
    const { end, isCut, unreadTable } = await this.#surveyForSnapshots();
    this.#lacksSnapshots = isCut || unreadTable !== undefined;
    if (this.#lacksSnapshots) return undefined;
    await this.#begin();
    return end;
  }

  async #surveyForSnapshots(): Promise<RepairSurvey> {
    const { signal, windowClusters } = this.#options;
    const image = await this.#image();
    try {
      return await survey(image, { signal, windowClusters });
    } catch (error) {
      if (!(error instanceof Qcow2cError && error.code === 'ERR_CORRUPT')) throw error;
    }
    // No snapshots, because the table cannot be read.
    const withoutSnapshots = { ...image, header: { ...image.header, snapshotCount: 0 } };
    return survey(withoutSnapshots, { signal, windowClusters });
  }

  async #repairEntries({ suspects }: RepairSurvey): Promise<number> {
    await this.#begin();
    return repairEntries(this.#file, await this.#image(), this.#entryRepair(suspects));
  }

  async #repairCopiedFlags({ suspects, corruptions, totals }: RepairSurvey): Promise<number> {
    // With leaks only, QEMU leaves the flags of an image with other faults unchanged.
    const mayRepair = this.#repairsAll || (corruptions === 0 && totals.checkErrors === 0);
    if (mayRepair) await this.#begin();
    return repairCopiedFlags(this.#file, await this.#image(), mayRepair, this.#entryRepair(suspects));
  }

  #entryRepair(suspects: Suspects): EntryRepair {
    return { suspects, onFinding: (...found) => this.#options.onFinding?.(...found), options: this.#options };
  }

  /** @returns whether the image changed */
  async #repairRefcounts(found: RepairSurvey): Promise<boolean> {
    const makesNew = this.#repairsAll && found.needsNewRefcounts;
    const raises = this.#repairsAll && found.tooLow > 0 && !makesNew;
    const lowers = found.tooHigh > 0 && !makesNew;
    if (!makesNew && !raises && !lowers && this.#newSnapshots === undefined) return false;
    await this.#begin();
    if (makesNew) {
      this.#options.onRebuild?.();
      const refcounts = await writeNewRefcounts(this.#file, await this.#image(), found.end, this.#options);
      this.#planned = { ...this.#planned, ...refcounts };
    }
    if (raises) await this.#change('raise');
    if (makesNew || this.#newSnapshots !== undefined) {
      await writeTablePointers(this.#file, (await this.#image()).header);
    }
    if (lowers) await this.#change('lower', found.isCut);
    return true;
  }

  /** @param isCut entries that are not counted may refer to clusters that are partly outside the file */
  async #change(direction: 'raise' | 'lower', isCut = false): Promise<void> {
    const own = this.#newSnapshots?.own ?? [];
    const tell = (finding: WrongRefcount) => {
      if (!isOneOf(own, finding.cluster)) return this.#options.onFinding?.(finding, true);
    };
    const image = await this.#image();
    const end = isCut ? Math.floor(image.end / image.geometry.clusterSize) : Number.POSITIVE_INFINITY;
    await repairRefcounts(this.#file, image, direction, end, tell, this.#options);
  }

  /** @param known the present findings, if known */
  async #clearMarks(known: RepairSurvey | undefined): Promise<void> {
    const { header } = await this.#image();
    if (!isMarked(header)) return;
    const { totals } = known ?? (await this.#survey());
    if (totals.corruptions > 0 || totals.checkErrors > 0) return;
    await this.#begin();
    await clearMarks(this.#file, header);
  }

  #needsMore({ unreadTable }: RepairSurvey): Qcow2cError {
    const { name: file } = this.#file;
    const advice =
      unreadTable === undefined
        ? "'qcow2c check -r all' repairs them"
        : `they cannot be repaired, because ${ARTICLES[unreadTable] ?? 'a'} ${unreadTable} could not be read completely; ${INSTEAD}`;
    const message = `Check failed: the refcounts of ${quoted(file)} have errors other than leaks; ${advice}`;
    return new Qcow2cError('ERR_CORRUPT', message, { file });
  }
}
