/**
 * Makes chosen system calls of this process fail, in any thread, by failing-calls.c, which must be loaded before the C
 * library (LD_PRELOAD). Used by the sweep's process.
 */
import { constants } from 'node:os';
import koffi from 'koffi';

/** Calls on the files of the watched directory are counted, by kind. */
export const OPERATIONS = [
  'open',
  'stat',
  'read',
  'write',
  'sync',
  'truncate',
  'allocate',
  'seek',
  'lock',
  'advise',
  'close',
  'close unwritten',
  'rename',
  'unlink',
  'chmod',
  'chown',
  'realpath',
  'readlink',
  'attribute',
  'attribute list',
] as const;
export type Operation = (typeof OPERATIONS)[number];

/** Linux's errors that are used, and more; those that Node.js does not know by name have their number here. */
const NUMBERS: Readonly<Record<string, number>> = { ...constants.errno, EDQUOT: 122 };

const CUTS = ['whole', 'one byte', 'half', 'all but a sector'] as const;

/** The outcome of a call: an error, or fewer bytes than requested. */
export interface Fault {
  readonly error?: string;
  readonly cut?: (typeof CUTS)[number];
  /** Not once, but from then on. */
  readonly forEver?: boolean;
}

/** Which call is to fail, counted from 1, and how. */
export interface PlannedFault {
  readonly operation: Operation;
  readonly number: number;
  readonly fault: Fault;
}

/** The first call that failed. Offsets and length in bytes, -1 where the call has none. */
export interface FailedCall {
  readonly call: string;
  readonly path: string;
  readonly length: number;
  /** Its own first, then those of the calls that failed after it: of several at once any may be reported. */
  readonly offsets: readonly number[];
}

export class FailingCalls {
  readonly #watch: (directory: string) => void;
  readonly #arm: (operation: string, first: number, last: number, error: number, cut: number) => void;
  readonly #disarm: () => void;
  readonly #count: (operation: string) => bigint | number;
  readonly #report: () => string;

  /** @param library the file that was loaded first @param directory whose files' calls are counted */
  constructor(library: string, directory: string) {
    const loaded = koffi.load(library);
    this.#watch = loaded.func('void faults_watch(const char *)');
    this.#arm = loaded.func('void faults_arm(const char *, long, long, int, int)');
    this.#disarm = loaded.func('void faults_disarm(void)');
    this.#count = loaded.func('long faults_count(const char *)');
    this.#report = loaded.func('const char *faults_report(void)');
    this.#watch(directory);
  }

  /** From now on calls are counted, and one of them fails, if any. */
  arm(planned: PlannedFault | undefined): void {
    const { operation = '', number = 0, fault = {} } = planned ?? {};
    const { error, cut = 'whole', forEver = false } = fault;
    const code = error === undefined ? 0 : NUMBERS[error];
    if (code === undefined) throw new Error(`${error} has no number`);
    this.#arm(operation, number, forEver ? 2 ** 31 : number, code, CUTS.indexOf(cut));
  }

  /** Ends it. @returns the first call that failed */
  disarm(): FailedCall | undefined {
    this.#disarm();
    const [call = '', path = '', length, ...offsets] = this.#report().split('\t');
    return call === '' ? undefined : { call, path, length: Number(length), offsets: offsets.map(Number) };
  }

  /** How many calls there were between the last arming and disarming. */
  count(operation: Operation): number {
    return Number(this.#count(operation));
  }
}
