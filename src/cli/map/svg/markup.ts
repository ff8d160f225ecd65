/** The few elements that the picture is made of. Text from outside is made harmless here and nowhere else. */
import { quoted } from '../../../errors.js';

/** Text as XML has it, whatever it holds: no markup, and no character that XML forbids. */
export function escaped(text: string): string {
  const visible = quoted(text).slice(1, -1);
  return visible
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replace(/[\ufffe\uffff]|\p{Surrogate}/gu, '\ufffd');
}

/** A name that must not take more than `most` characters: its end says more than its middle. */
export function shortened(name: string, most: number): string {
  const characters = [...name];
  if (characters.length <= most) return name;
  const head = Math.floor((most - 1) / 3);
  return `${characters.slice(0, head).join('')}…${characters.slice(head + 1 - most).join('')}`;
}

/** @param x and `y`: of the base line's beginning, or its end or middle by the class @param kind a class of the style */
export function text(x: number, y: number, kind: string, content: string): string {
  return `<text x="${x}" y="${y}" class="${kind}">${escaped(content)}</text>\n`;
}

export function rectangle(x: number, y: number, width: number, height: number, colour: string): string {
  return `<rect x="${x}" y="${y}" width="${width}" height="${height}" fill="${colour}"/>\n`;
}
