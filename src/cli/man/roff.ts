/** Formats plain text as the source of a manual page (man(7)), with special characters escaped. */
import { wrapped } from '../help/help-text.js';

/** Escapes for characters that troff would print in typographic form or read as a request. */
const SPELLED: Readonly<Record<string, string>> = {
  '\\': '\\(rs',
  '-': '\\-',
  "'": '\\(aq',
  '`': '\\(ga',
  '^': '\\(ha',
  '~': '\\(ti',
  '"': '\\(dq',
};

/** @param text without line ends */
export function roffText(text: string): string {
  return text.replace(/[\\\-'`^~"]/g, (letter) => SPELLED[letter] as string);
}

export function bold(text: string): string {
  return `\\fB${roffText(text)}\\fR`;
}

export function italic(text: string): string {
  return `\\fI${roffText(text)}\\fR`;
}

/** Lines of text. */
export function lines(roff: string): string {
  return wrapped(roff, 100).map(textLine).join('');
}

/** Lines shown verbatim. */
export function verbatim(text: readonly string[]): string {
  return `.EX\n${text.map((line) => textLine(roffText(line))).join('')}.EE\n`;
}

/** A term, with its explanation beside or below it. */
export function entry(term: string, explanation: string): string {
  return `.TP\n${textLine(term)}${explanation}`;
}

/** A dot at the start would make the line a request. */
function textLine(roff: string): string {
  return `${roff.startsWith('.') ? '\\&' : ''}${roff}\n`;
}
