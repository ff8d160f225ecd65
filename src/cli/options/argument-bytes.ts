/**
 * Refuses words of the command line that are not UTF-8. Node.js replaces invalid bytes with U+FFFD, so two different
 * names could become the same name, and neither would be the file that was meant.
 */
import { readFileSync } from 'node:fs';
import { quoted, usageError } from '../../errors.js';

const REPLACEMENT = '\ufffd';

/**
 * @param words the words after the program's name, as Node.js decoded them
 * @param bytesOf returns the bytes of the whole command line, a NUL after each word; undefined if the system does not
 *   provide them. Called only when a word may have been changed.
 * @throws Qcow2cError ERR_USAGE for a word that differs from the typed bytes
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

/** Escapes bytes beyond ASCII for the shell's $'…'. */
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
