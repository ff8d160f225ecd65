/** The progress of a conversion with a second phase, the verification, as one that never goes back. */
import type { Progress } from '../workers/progress.js';

type OnProgress = (progress: Progress) => void;

export class Phases {
  /** For the conversion; undefined: nobody wants to know. */
  readonly onProgress: OnProgress | undefined;
  /** For what comes behind it. */
  readonly onVerification: OnProgress | undefined;

  /** @param isVerified whether there is a second phase */
  constructor(tell: OnProgress | undefined, isVerified: boolean) {
    this.onProgress = tell;
    if (tell === undefined || !isVerified) return;
    let last: Pick<Progress, 'dataBytes' | 'storedBytes'> = { dataBytes: 0, storedBytes: 0 };
    this.onProgress = (progress) => {
      last = progress;
      tell({ ...progress, phase: 'convert' });
    };
    this.onVerification = ({ guestBytesDone, guestBytes }) => {
      const { dataBytes, storedBytes } = last;
      tell({ guestBytesDone, guestBytes, dataBytes, storedBytes, phase: 'verify' });
    };
  }
}
