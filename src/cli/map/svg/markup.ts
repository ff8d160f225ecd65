/** The SVG elements of the picture. Text from the image is escaped here and nowhere else. */
import { quoted } from '../../../errors.js';

/** A name for display: control characters and characters that XML forbids are shown as escapes. */
export function shown(name: string): string {
  return quoted(name)
    .slice(1, -1)
    .replace(/[\ufffe\uffff]|\p{Surrogate}/gu, '\ufffd');
}

/** Text as XML content: markup is escaped, and no forbidden character remains. */
export function xmlText(text: string): string {
  return shown(text).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/**
 * @param x and `y`: of the start of the base line, or of its end or middle, depending on the class @param kind a class
 *   of the style
 */
export function textElement(x: number, y: number, kind: string, content: string): string {
  return `<text x="${x}" y="${y}" class="${kind}">${xmlText(content)}</text>\n`;
}

export function rectangle(x: number, y: number, width: number, height: number, colour: string): string {
  return `<rect x="${x}" y="${y}" width="${width}" height="${height}" fill="${colour}"/>\n`;
}
