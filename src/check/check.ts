/**
 * Checks an image: opens it without the files that it names, analyses it, and checks its data and repairs it on
 * request.
 */
import { Qcow2cError, quoted } from '../errors.js';
import { staleBitmaps } from '../image/dirty-bitmap.js';
import { guessFormat, warnOfCutDisk } from '../image/image-header.js';
import { imageReference, missingFileName } from '../image/image-reference.js';
import { useOf } from '../image/open-image.js';
import { openNamed } from '../image/open-named.js';
import { wantedByCaller } from '../image/referenced-files.js';
import type { OpenedFile } from '../image/source.js';
import { isNbdName } from '../nbd/nbd-name.js';
import type { Header } from '../qcow2/header.js';
import { endPromptly } from '../workers/prompt-abort.js';
import { analyse } from './analysis.js';
import { type CheckedImage, readCheckedImage } from './checked-image.js';
import { countersMemory } from './counters-memory.js';
import { checkData } from './data-check.js';
import { findingWords } from './finding-words.js';
import type { Finding } from './findings.js';
import { type CheckOptions, type CheckResult, validateCheck } from './options.js';
import { type RepairMode, type RepairOutcome, repairInPlace } from './repair.js';

/** Part of the progress of a check with data that the analysis takes. */
const SHARE_OF_ANALYSIS = 0.1;
/** Part of the progress of a repair; the check of the result takes the rest. */
const SHARE_OF_REPAIR = 0.5;

/**
 * @returns undefined when the format has no checks: raw
 * @throws Qcow2cError ERR_IO, ERR_FORMAT, ERR_CORRUPT, ERR_UNSUPPORTED, ERR_USAGE for an image that cannot be opened
 *   or
 *   checked completely; ERR_IN_USE for one that another process writes to; ERR_ENGINE, ERR_WORKER, ERR_ABORTED
 */
export function check(options: CheckOptions): Promise<CheckResult | undefined> {
  return checkWith(options, undefined);
}

/** @param workerEntry undefined: that of this build */
export async function checkWith(
  options: CheckOptions,
  workerEntry: URL | undefined,
): Promise<CheckResult | undefined> {
  validateCheck(options);
  return endPromptly(options.signal, () => checkOrRepair(options, workerEntry));
}

async function checkOrRepair(
  options: CheckOptions,
  workerEntry: URL | undefined,
): Promise<CheckResult | undefined> {
  if (options.repair === undefined) return checkOpened(options, workerEntry);
  const first = await repairFirst(options, options.repair);
  if (first === undefined) return undefined;
  const { totals, ...repaired } = first;
  const isRepaired = repaired.leaksFixed > 0 || repaired.corruptionsFixed > 0;
  // If nothing was repaired, the analysis is still valid.
  if (!isRepaired && options.data !== true) return { ...totals, format: 'qcow2', data: undefined, repaired };
  const result = await checkOpened(options, workerEntry);
  return result && { ...result, repaired };
}

/** @returns undefined when the format has no checks */
async function repairFirst(options: CheckOptions, mode: RepairMode): Promise<RepairOutcome | undefined> {
  const reference = imageReference(options.image);
  const { onFinding, onProgress, onRebuild, onWarning, signal } = options;
  if (isNbdName(reference.file)) {
    throw new Qcow2cError(
      'ERR_UNSUPPORTED',
      `${quoted(reference.file)} is an NBD export, which is not repaired: stop its server and repair the file ` +
        'behind it, or repair a copy',
    );
  }
  const file = await openFile(options);
  let header: Header;
  let windowClusters: number | undefined;
  try {
    if ((reference.format ?? (await guessFormat(file, reference))) === 'raw') return undefined;
    const image = await readCheckedImage(file);
    header = image.header;
    warnOfCutDisk(image, onWarning);
    windowClusters = countersMemory(file.size, header, options).windowClusters;
  } finally {
    await file.close();
  }
  const { clusterBits, virtualSize: guestBytes } = header;
  return repairInPlace(reference.file, mode, {
    onFinding: (finding, repairing) => onFinding?.(finding, findingWords(finding, clusterBits, repairing)),
    onRebuild,
    onRefusal: onWarning,
    windowClusters,
    onShare: (share) => {
      const guestBytesDone = Math.floor(share * SHARE_OF_REPAIR * guestBytes);
      onProgress?.({ guestBytesDone, guestBytes, dataBytes: 0, storedBytes: undefined });
    },
    signal,
  });
}

async function checkOpened(
  options: CheckOptions,
  workerEntry: URL | undefined,
): Promise<CheckResult | undefined> {
  const reference = imageReference(options.image);
  const { data = false, onFinding, onProgress, signal } = options;
  const done = options.repair === undefined ? 0 : SHARE_OF_REPAIR;
  const file = await openFile(options);
  try {
    if ((reference.format ?? (await guessFormat(file, reference))) === 'raw') return undefined;
    await file.lock(useOf('qcow2', reference.forceShare));
    const image = await readCheckedImage(file);
    const counters = countersMemory(file.size, image.header, options);
    warn(image, options);
    const { clusterBits, virtualSize: guestBytes } = image.header;
    const tell = (finding: Finding) => onFinding?.(finding, findingWords(finding, clusterBits));
    const progress = (share: number, dataBytes: number) => {
      const guestBytesDone = Math.floor((done + share * (1 - done)) * guestBytes);
      onProgress?.({ guestBytesDone, guestBytes, dataBytes, storedBytes: undefined });
    };
    const analysisShare = data ? SHARE_OF_ANALYSIS : 1;
    const totals = await analyse(image, {
      onFinding: tell,
      onShare: (share) => progress(share * analysisShare, 0),
      signal,
      windowClusters: counters.windowClusters,
    });
    if (!data) return { ...totals, format: 'qcow2', data: undefined, repaired: undefined };
    const examined = await checkData(image, file, {
      threads: options.threads,
      memory: options.memory,
      held: counters.bytes,
      workerEntry,
      signal,
      onFinding: tell,
      onProgress: ({ guestBytesDone, dataBytes }) => {
        const share = guestBytes === 0 ? 1 : guestBytesDone / guestBytes;
        progress(analysisShare + share * (1 - analysisShare), dataBytes);
      },
    });
    const corruptions = totals.corruptions + examined.broken;
    return { ...totals, corruptions, format: 'qcow2', data: examined, repaired: undefined };
  } finally {
    await file.close();
  }
}

async function openFile({ image, direct = false, nbd }: CheckOptions): Promise<OpenedFile> {
  const wanted = wantedByCaller(imageReference(image));
  if (wanted.file === '') throw missingFileName();
  return openNamed(wanted, { direct, nbd });
}

function warn(image: CheckedImage, { onWarning, repair }: CheckOptions): void {
  const { file, extensions } = image;
  // The repair has reported it already.
  if (repair === undefined) warnOfCutDisk(image, onWarning);
  if (extensions.staleBitmaps === undefined) return;
  onWarning?.(
    `${staleBitmaps(quoted(file.name))}; their clusters may be leaked, which 'qcow2c check -r leaks' repairs`,
  );
}
