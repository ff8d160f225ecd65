/**
 * Refuses words of the command line that are not UTF-8. Node.js replaces their odd bytes by U+FFFD: two names that
 * differ in these alone would become one, and neither would be the one that was meant.
 */
import { readFileSync } from 'node:fs';
import { quoted, usageError } from '../../errors.js';

const REPLACEMENT = '\ufffd';

/**
 * @param words the words after the program's name, as Node.js decoded them
 * @param bytesOf the bytes of the whole command line, each word with a NUL behind it; undefined where the system does
 *   not tell. It is asked only when a word may have been changed.
 * @throws Qcow2cError ERR_USAGE for a word that is not what was typed
 */
export function refuseUndecodedWords(
  words: readonly string[],
  bytesOf: () => Buffer | undefined = commandLineBytes,
): void {
  if (!words.some((word) => word.includes(REPLACEMENT))) return;
  const typed = splitAtNul(bytesOf()).slice(-words.length);
  for (const [index, word] of words.entries()) {
    if (!word.includes(REPLACEMENT) || typed[index]?.equals(Buffer.from(word))) continue;
    const shown = quoted(visibleBytes(typed[index] ?? Buffer.from(word)));
    throw usageError(
      `The argument ${shown} is not UTF-8; rename the file, or use a symbolic link to it whose name is UTF-8`,
    );
  }
}

/** Bytes beyond ASCII as the shell's $'…' takes them. */
function visibleBytes(bytes: Buffer): string {
  return bytes
    .toString('latin1')
    .replace(/[\u0080-\u00ff]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16)}`);
}

function splitAtNul(bytes: Buffer | undefined): Buffer[] {
  const words: Buffer[] = [];
  for (let rest = bytes; rest !== undefined && rest.length > 0; ) {
    const end = rest.indexOf(0);
    words.push(rest.subarray(0, end < 0 ? rest.length : end));
    rest = end < 0 ? undefined : rest.subarray(end + 1);
  }
  return words;
}

function commandLineBytes(): Buffer | undefined {
  try {
    return readFileSync('/proc/self/cmdline');
  } catch {
    return undefined;
  }
}
