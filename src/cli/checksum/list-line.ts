/** The lines of a list of digests, as sha256sum writes and reads them. Pure. */
import { quoted } from '../../errors.js';
import type { StandardStream } from '../progress/progress-display.js';

const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r' };
const MEANT: Readonly<Record<string, string>> = { '\\\\': '\\', '\\n': '\n', '\\r': '\r' };

/** @returns the name on one line; `mark` is the backslash that begins a line with such a name */
export function escapedName(name: string): { readonly mark: '' | '\\'; readonly text: string } {
  const text = name.replace(/[\\\n\r]/g, (character) => ESCAPES[character] as string);
  return { mark: text === name ? '' : '\\', text };
}

/**
 * A list holds names as they are, so that it can be read again. On a terminal their control characters are escaped.
 * @param line with its end, or nothing
 * @param output that the line is printed on
 */
export function shownLine(line: string, { isTTY }: Pick<StandardStream, 'isTTY'>): string {
  return isTTY && line !== '' ? `${quoted(line.slice(0, -1)).slice(1, -1)}\n` : line;
}

/** @returns the line, with its end */
export function listLine(digest: string, name: string): string {
  const { mark, text } = escapedName(name);
  return `${mark}${digest}  ${text}\n`;
}

export interface ListedDigest {
  /** In lower case. */
  readonly digest: string;
  readonly name: string;
}

/**
 * @param line without its end
 * @returns `ignored` for a comment and an empty line, `malformed` for another format
 */
export function readListLine(line: string): ListedDigest | 'ignored' | 'malformed' {
  const text = line.endsWith('\r') ? line.slice(0, -1) : line;
  if (text === '' || text.startsWith('#')) return 'ignored';
  const [, mark, digest = '', written = ''] = /^(\\?)([0-9a-f]{64}) [ *](.+)$/is.exec(text.trimStart()) ?? [];
  const name = mark === '\\' ? unescaped(written) : written;
  if (name === undefined || name === '' || name.includes('\0')) return 'malformed';
  return { digest: digest.toLowerCase(), name };
}

/** @returns undefined if a backslash does not begin an escape */
function unescaped(text: string): string | undefined {
  if (text.replace(/\\[\\nr]/g, '').includes('\\')) return undefined;
  return text.replace(/\\[\\nr]/g, (pair) => MEANT[pair] as string);
}
