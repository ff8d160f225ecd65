/**
 * Progress as `qemu-img -p` prints it, for the scripts and panels that parse it: on standard output, even if it is not
 * a terminal. The rules are those of qemu_progress_print in QEMU's util/qemu-progress.c.
 */
import type { Progress } from '../../workers/progress.js';
import { type ProgressDisplay, partOf, type StandardStream } from './progress-display.js';

/** Hundredths of a percent in the whole. */
const COMPLETE = 10_000n;

export class QemuDisplay implements ProgressDisplay {
  readonly #stdout: StandardStream;
  /** Percent at the last line. */
  #shown = 0;

  constructor(stdout: StandardStream) {
    this.#stdout = stdout;
  }

  start(): void {
    this.#print(0, 1);
  }

  /** A step of one percent or less is not shown, unless it is the last; nor is progress without a known whole. */
  update(progress: Progress): void {
    const { done, whole } = partOf(progress);
    if (whole === undefined) return;
    const percent = done < whole ? (100 * done) / whole : 100;
    if (percent <= this.#shown + 1 && percent !== 100) return;
    this.#shown = percent;
    this.#print(done, whole);
  }

  /** As in qemu-img, a complete conversion prints 100 % once more; a failed one only ends its line. */
  end(success: boolean): void {
    if (success) this.#print(1, 1);
    this.#stdout.write('\n');
  }

  #print(part: number, total: number): void {
    this.#stdout.write(`    (${percentage(part, total)}/100%)\r`);
  }
}

/** A share as a percentage with two decimals; a tie goes to the even digit, as in C's printf. */
export function percentage(part: number, total: number): string {
  const [scaled, divisor] = [BigInt(part) * COMPLETE, BigInt(total)];
  let hundredths = scaled / divisor;
  const twiceTheRest = 2n * (scaled % divisor);
  if (twiceTheRest > divisor || (twiceTheRest === divisor && hundredths % 2n === 1n)) hundredths += 1n;
  return (Number(hundredths) / 100).toFixed(2);
}
