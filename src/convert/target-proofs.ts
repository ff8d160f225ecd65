/** The proofs of a finished target before it is renamed: its digests, and the comparison with the source. */
import { internalError } from '../errors.js';
import type { DiskDigest } from '../workers/block-digests.js';
import type { WorkerBudget } from '../workers/worker-budget.js';
import type { ChangedClusters } from './changed-clusters.js';
import type { ConversionProgress } from './conversion-progress.js';
import { digestTarget } from './disk-digest.js';
import { digestOfFile, type FileDigest } from './file-digest.js';
import type { Input } from './input.js';
import type { ConvertResult, NamedTargetOptions } from './options.js';
import type { Output, WrittenTarget } from './output.js';
import { verifyTarget } from './target-verification.js';

export type TargetProofs = Pick<ConvertResult, 'digest' | 'sha256' | 'verifiedFrom' | 'verifiedPart'>;

/**
 * The digests that were taken while the target was written, not ended yet; undefined: not asked for, or not possible.
 */
export interface TakenDigests {
  /** Of the source's disk, which has `diskSize` bytes. */
  readonly digest: DiskDigest | undefined;
  readonly sha256: FileDigest | undefined;
  readonly diskSize: number;
}

interface ProofParts {
  readonly output: Output;
  readonly input: Input;
  /** The clusters that are stored, if a bitmap lists them. */
  readonly changed: ChangedClusters | undefined;
  readonly taken: TakenDigests;
  readonly budget: WorkerBudget;
  readonly workerEntry: URL;
  readonly progress: ConversionProgress;
  /** @throws Qcow2cError ERR_SOURCE_CHANGED */
  refuseChanges(): Promise<void>;
}

/**
 * @param options `digest`, `sha256` and `verify` say what is asked for
 * @throws Qcow2cError as `verifyTarget`; ERR_IO for a target that cannot be read
 */
export async function proveTarget(options: NamedTargetOptions, parts: ProofParts): Promise<TargetProofs> {
  const { output, input, changed, taken, budget, workerEntry, progress, refuseChanges } = parts;
  const { signal, wantsShare, engine, salvage = false, target: name, nbd } = options;
  const reading = { budget, signal, wantsShare, inflateWithNode: engine === 'node', workerEntry, nbd };
  let sealed: Promise<WrittenTarget> | undefined;
  const seal = () => {
    sealed ??= output.seal();
    return sealed;
  };
  const { virtualSize, fileSize } = output.result();
  let digest = await taken.digest?.end(taken.diskSize);
  // The target shows more than what was read: the rest of an existing disk, or the backing file's clusters.
  if (options.digest && (digest === undefined || virtualSize > taken.diskSize)) {
    digest = await digestTarget(await seal(), { ...reading, onProgress: progress.later('digest') });
  }
  let sha256 = await taken.sha256?.end(fileSize);
  if (options.sha256 && sha256 === undefined) {
    const { reference, kind, direct } = await seal();
    // An existing file may be longer than what was written, and all of it is the file.
    const length = kind === 'device' ? fileSize : undefined;
    const report = progress.later('sha256');
    const onRead = report && ((bytes: number) => report({ share: Math.min(1, bytes / fileSize) }));
    sha256 = await digestOfFile(reference.file, { direct, length, onRead, signal, nbd });
  }
  let verifiedFrom: TargetProofs['verifiedFrom'];
  if (options.verify) {
    const { content } = input;
    if (content === undefined) throw internalError('a stream was not digested for its verification');
    const expected = { name: input.name, content, changed, refuseChanges };
    verifiedFrom = await verifyTarget(await seal(), expected, {
      ...{ name, salvage, ...reading },
      onProgress: progress.later('verify'),
    });
    await refuseChanges();
  }
  const verifiedPart = verifiedFrom && (changed === undefined ? 'disk' : 'changes');
  return { digest, sha256, verifiedFrom, verifiedPart };
}
