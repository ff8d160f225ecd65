/**
 * The kept inputs of a target as text, one on each line: its length in bytes, and what of it is not zero, as
 * OFFSET:HEX or, where one byte comes often, OFFSET:HEX*TIMES. Used by the run of the fuzzer and by the tests.
 */

/** Zeros that end a piece: the cost of a new one. */
const ZEROS = 8;
/** A byte that comes as often is written once. */
const TIMES = 16;

/** In a fixed order, so that unchanged inputs keep their lines. */
export function packInputs(inputs: readonly Uint8Array[]): string {
  const lines = new Set(inputs.map((input) => [input.length, ...pieces(input)].join(' ')));
  return `${[...lines].sort((a, b) => a.length - b.length || (a < b ? -1 : 1)).join('\n')}\n`;
}

/** @throws Error for a line of another form */
export function unpackInputs(text: string): Uint8Array[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map(unpackLine);
}

function unpackLine(line: string): Uint8Array {
  const [length = '', ...parts] = line.split(' ');
  if (!/^\d+$/.test(length)) throw new Error(`no length in ${line}`);
  const input = new Uint8Array(Number(length));
  for (const part of parts) {
    const [, at, hex = '', times] = /^(\d+):((?:[\da-f]{2})+)(?:\*(\d+))?$/.exec(part) ?? [];
    if (at === undefined) throw new Error(`no piece of an input: ${part}`);
    const bytes = Buffer.from(hex, 'hex');
    if (times === undefined) input.set(bytes, Number(at));
    else input.fill(bytes[0] ?? 0, Number(at), Number(at) + Number(times));
  }
  return input;
}

function* pieces(input: Uint8Array): Generator<string> {
  for (let at = 0; at < input.length; ) {
    const run = alike(input, at);
    if (input[at] === 0) {
      at += run;
    } else if (run >= TIMES) {
      yield `${at}:${hexOf(input, at, at + 1)}*${run}`;
      at += run;
    } else {
      let end = at + run;
      for (let next = alike(input, end); end < input.length; next = alike(input, end)) {
        if (next >= (input[end] === 0 ? ZEROS : TIMES)) break;
        end += next;
      }
      while (input[end - 1] === 0) end -= 1;
      yield `${at}:${hexOf(input, at, end)}`;
      at = end;
    }
  }
}

/** How many bytes from `at` on are the same. */
function alike(input: Uint8Array, at: number): number {
  let end = at + 1;
  while (end < input.length && input[end] === input[at]) end += 1;
  return end - at;
}

function hexOf(input: Uint8Array, from: number, to: number): string {
  return Buffer.from(input.subarray(from, to)).toString('hex');
}
