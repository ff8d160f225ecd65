/** The message for a comparison's verdict, in qemu-img's words (img_compare in qemu-img.c), and its exit code. */
import type { CompareResult, Verdict } from '../../compare/options.js';
import { messageLine } from '../failure.js';

/** The exit codes of `compare` for each verdict; without one it is 2. */
export const EXIT_CODES: Readonly<Record<Verdict['kind'], number>> = {
  identical: 0,
  'different-size': 1,
  'different-allocation': 1,
  'different-content': 1,
  'unknown-allocation': 3,
  unreadable: 4,
};

/** The texts for each stream. */
interface VerdictText {
  /** For standard output; not printed with -q. */
  readonly stdout: string;
  readonly stderr: string;
}

/** @param files the two images as named by the caller */
export function verdictText(
  { verdict, sizes }: CompareResult,
  files: readonly [string, string],
): VerdictText {
  switch (verdict.kind) {
    case 'identical':
      return { stdout: `${sizeWarning(sizes)}Images are identical.\n`, stderr: '' };
    case 'different-size':
      return { stdout: 'Strict mode: Image size mismatch!\n', stderr: '' };
    case 'different-allocation':
      return { stdout: `Strict mode: Offset ${verdict.offset} block status mismatch!\n`, stderr: '' };
    case 'different-content':
      return {
        stdout: `${sizeWarning(sizes, verdict.offset)}Content mismatch at offset ${verdict.offset}!\n`,
        stderr: '',
      };
    case 'unknown-allocation': {
      const { side, offset, error } = verdict;
      const message = `Sector allocation test failed for ${files[side]}: ${error.message}`;
      return { stdout: sizeWarning(sizes, offset), stderr: messageLine(message) };
    }
    case 'unreadable': {
      const { side, offset, error } = verdict;
      const message = `Error while reading offset ${offset} of ${files[side]}: ${error.message}`;
      return { stdout: sizeWarning(sizes, offset), stderr: messageLine(message) };
    }
  }
}

/**
 * The warning printed when the disks are identical up to the end of the shorter one. @param offset where the run ended,
 * in bytes
 */
function sizeWarning([one, other]: CompareResult['sizes'], offset = Number.POSITIVE_INFINITY): string {
  return one !== other && offset >= Math.min(one, other) ? 'Warning: Image size mismatch!\n' : '';
}
