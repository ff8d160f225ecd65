/** The source of a manual page (man(7)) from plain text: what has a meaning there is written so that it has none. */
import { wrapped } from '../help-text.js';

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

/** Lines of text; a dot at their begin would make them orders. */
export function lines(roff: string): string {
  return wrapped(roff, 100)
    .map((line) => `${line.startsWith('.') ? '\\&' : ''}${line}\n`)
    .join('');
}

/** Lines that are shown as they are, in a fixed width. */
export function verbatim(text: readonly string[]): string {
  const shown = text.map((line) => `${/^[.']/.test(line) ? '\\&' : ''}${escaped(line)}\n`).join('');
  return `.EX\n${shown}.EE\n`;
}

/** A term and its explanation beside or below it. */
export function entry(term: string, explanation: string): string {
  return `.TP\n${term}\n${explanation}`;
}
