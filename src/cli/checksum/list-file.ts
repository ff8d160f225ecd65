/** Reads a list of digests line by line. */
import { createReadStream } from 'node:fs';
import { ioError, quoted } from '../../errors.js';
import { type ListedDigest, readListLine } from './list-line.js';

/** A line can hold a name or a list of options. In bytes; a longer line is in another format. */
const LONGEST_LINE = 65536;
const LINE_FEED = 0x0a;

interface ListEntry {
  /** From 1. */
  readonly number: number;
  /** `unreadable`: its name is not UTF-8. */
  readonly content: ListedDigest | 'malformed' | 'unreadable';
}

/**
 * @param file undefined: standard input
 * @returns the lines but comments and empty ones
 * @throws Qcow2cError ERR_IO
 */
export async function* listEntries(file: string | undefined): AsyncGenerator<ListEntry> {
  const name = file ?? 'standard input';
  let number = 0;
  for await (const line of linesOf(file, name)) {
    number += 1;
    const content = line === undefined ? 'malformed' : contentOf(line);
    if (content !== 'ignored') yield { number, content };
  }
}

function contentOf(line: Buffer) {
  const text = line.toString();
  const content = readListLine(text);
  const isText = typeof content === 'string' || Buffer.from(text).equals(line);
  return isText ? content : 'unreadable';
}

/** @returns the lines without their ends; undefined for one that is too long */
async function* linesOf(file: string | undefined, name: string): AsyncGenerator<Buffer | undefined> {
  const stream =
    file === undefined ? createReadStream('', { fd: 0, autoClose: false }) : createReadStream(file);
  let rest: Buffer[] = [];
  let length = 0;
  const take = () => {
    const line = length > LONGEST_LINE ? undefined : Buffer.concat(rest);
    rest = [];
    length = 0;
    return line;
  };
  const add = (part: Buffer) => {
    length += part.length;
    if (length <= LONGEST_LINE) rest.push(part);
    else rest = [];
  };
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      let from = 0;
      for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, from)) {
        add(chunk.subarray(from, end));
        yield take();
        from = end + 1;
      }
      add(chunk.subarray(from));
    }
  } catch (error) {
    throw ioError(`Could not read ${quoted(name)}`, error, { file: name });
  }
  if (length > 0) yield take();
}
