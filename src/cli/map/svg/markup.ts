/** The few elements that the picture is made of. Text from outside is made harmless here and nowhere else. */
import { quoted } from '../../../errors.js';

/** A name as it is shown: what would drive a terminal, or what XML forbids, is made visible. */
export function shown(name: string): string {
  return quoted(name)
    .slice(1, -1)
    .replace(/[\ufffe\uffff]|\p{Surrogate}/gu, '\ufffd');
}

/** Text as XML has it, whatever it holds: no markup, and no character that XML forbids. */
export function escaped(text: string): string {
  return shown(text).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** @param x and `y`: of the base line's beginning, or its end or middle by the class @param kind a class of the style */
export function text(x: number, y: number, kind: string, content: string): string {
  return `<text x="${x}" y="${y}" class="${kind}">${escaped(content)}</text>\n`;
}

export function rectangle(x: number, y: number, width: number, height: number, colour: string): string {
  return `<rect x="${x}" y="${y}" width="${width}" height="${height}" fill="${colour}"/>\n`;
}
