/**
 * strace shows the system calls: which calls, on which file, in which order. Addresses are printed for pread64 and
 * pwrite64, vectors in full for preadv and pwritev.
 */
import { readFile } from 'node:fs/promises';

const CALLS =
  'openat,close,read,pread64,preadv,preadv2,write,pwrite64,writev,pwritev,pwritev2,copy_file_range,sendfile,' +
  'lseek,ftruncate,fallocate,fdatasync,fsync,sync_file_range,rename,renameat,renameat2,unlink,unlinkat';

/** The command line that runs another program under strace and leaves the trace in `log`. */
export function underStrace(log: string, extra: readonly string[] = []): string[] {
  // No contents (-s 0; file names are printed in full all the same), but every buffer of a vector.
  const quiet = ['-f', '--seccomp-bpf', '-qq', '-e', 'signal=none', '-s', '0', '-e', 'abbrev=none'];
  const raw = ['-e', 'raw=read,write,pread64,pwrite64'];
  return ['strace', ...quiet, '-e', `trace=${CALLS}`, ...raw, ...extra, '-o', log, '--'];
}

export interface SystemCall {
  readonly pid: number;
  readonly name: string;
  /** As strace prints them: numbers, quoted strings, flags, vectors. */
  readonly args: readonly string[];
  /** The return value, or -1. */
  readonly result: number;
  /** The system's name of the error, such as EINVAL. */
  readonly error: string | undefined;
  /** The file of the descriptor in the first argument, by the openat that made it; as the program named it. */
  readonly file: string | undefined;
  /** The flags that file was opened with. */
  readonly flags: string;
}

/** Splits an argument list at the commas that are in no string, bracket or brace. */
function splitArguments(text: string): string[] {
  const args: string[] = [];
  let depth = 0;
  let inString = false;
  let from = 0;
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!;
    if (inString) {
      if (character === '\\') at++;
      else if (character === '"') inString = false;
    } else if (character === '"') inString = true;
    else if ('[{('.includes(character)) depth++;
    else if (']})'.includes(character)) depth--;
    else if (character === ',' && depth === 0) {
      args.push(text.slice(from, at).trim());
      from = at + 1;
    }
  }
  args.push(text.slice(from).trim());
  return args;
}

/** The text of a string that strace printed with quotes. */
export function unquote(text: string): string {
  return text.replace(/^"|"(\.\.\.)?$/g, '').replace(/\\(["\\])/g, '$1');
}

/** Parses a trace into calls in the order in which they returned. Calls cut short by the exit are left out. */
export function parseTrace(text: string): SystemCall[] {
  const unfinished = new Map<number, string>();
  const open = new Map<number, { file: string; flags: string }>();
  const calls: SystemCall[] = [];
  for (const line of text.split('\n')) {
    const prefix = /^(\d+) +(.*)$/.exec(line);
    if (prefix === null) continue;
    const pid = Number(prefix[1]);
    let rest = prefix[2]!;
    const cut = / <unfinished \.\.\.>\)?( = \?)?$/.exec(rest);
    if (cut !== null) {
      unfinished.set(pid, rest.slice(0, cut.index));
      // The number may be given out again before strace prints that the close is over.
      const closing = /^close\((\d+)/.exec(rest);
      if (closing !== null) open.delete(Number(closing[1]));
      continue;
    }
    const resumed = /^<\.\.\. (\w+) resumed>,? ?(.*)$/.exec(rest);
    if (resumed?.[1] === 'close') continue;
    if (resumed !== null) rest = (unfinished.get(pid) ?? '') + resumed[2]!;
    const call = /^(\w+)\((.*)\)\s+= (0x[0-9a-f]+|-?\d+)(?: (E[A-Z]+))?/.exec(rest);
    if (call === null) continue;
    const [, name, list, value, error] = call as unknown as [string, string, string, string, string?];
    const args = splitArguments(list);
    const result = Number(value);
    const described = open.get(Number(args[0]));
    calls.push({ pid, name, args, result, error, file: described?.file, flags: described?.flags ?? '' });
    if (name === 'openat' && result >= 0) open.set(result, { file: unquote(args[1]!), flags: args[2]! });
    if (name === 'close') open.delete(Number(args[0]));
  }
  return calls;
}

/** Reads the trace that a program run with `underStrace` has left. */
export async function readTrace(log: string): Promise<SystemCall[]> {
  return parseTrace(await readFile(log, 'utf8'));
}

/** A read or a write of one file, whichever call made it. */
export interface Transfer {
  readonly call: SystemCall;
  readonly kind: 'read' | 'write';
  /** Bytes; undefined when the call used the file's own position. */
  readonly offset: number | undefined;
  /** Requested bytes, one entry for each buffer. */
  readonly lengths: readonly number[];
  /** Where the buffer lies, known for the calls with a single buffer. */
  readonly address: bigint | undefined;
}

/** The call as a transfer, or undefined when it moves no data of a file. */
export function transferOf(call: SystemCall): Transfer | undefined {
  const form = /^(p?)(read|write)(64|v2?)?$/.exec(call.name);
  if (form === null) return undefined;
  const { args } = call;
  const kind = form[2] as Transfer['kind'];
  const offset = form[1] === 'p' ? Number(args[3]) : undefined;
  if (!form[3]?.startsWith('v')) {
    return { call, kind, offset, lengths: [Number(args[2])], address: BigInt(args[1]!) };
  }
  const lengths = [...args[1]!.matchAll(/iov_len=(\d+)/g)].map((match) => Number(match[1]));
  return { call, kind, offset, lengths, address: undefined };
}
