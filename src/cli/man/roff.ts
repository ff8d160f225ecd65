/** The source of a manual page (man(7)) from plain text: what has a meaning there is written so that it has none. */
import { wrapped } from '../help/help-text.js';

/** The plain letters, where troff would print a typographic one, and what it would take for an order. */
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
export function escaped(text: string): string {
  return text.replace(/[\\\-'`^~"]/g, (letter) => SPELLED[letter] as string);
}

export function bold(text: string): string {
  return `\\fB${escaped(text)}\\fR`;
}

export function italic(text: string): string {
  return `\\fI${escaped(text)}\\fR`;
}

/** Lines of text. */
export function lines(roff: string): string {
  return wrapped(roff, 100).map(textLine).join('');
}

/** Lines that are shown as they are. */
export function verbatim(text: readonly string[]): string {
  return `.EX\n${text.map((line) => textLine(escaped(line))).join('')}.EE\n`;
}

/** A term and its explanation beside or below it. */
export function entry(term: string, explanation: string): string {
  return `.TP\n${textLine(term)}${explanation}`;
}

/** A dot at its begin would make it an order. */
function textLine(roff: string): string {
  return `${roff.startsWith('.') ? '\\&' : ''}${roff}\n`;
}
