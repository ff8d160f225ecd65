/**
 * Computes the maximum width of a text. The viewer chooses the font, so the widths are those of DejaVu Sans, the widest
 * font in the style. Pure.
 */

/** Font sizes of the style's classes, in the picture's units. */
export const FONT_SIZES = {
  title: 21,
  facts: 13,
  heading: 15,
  label: 12.5,
  amount: 11,
  scale: 11,
  mark: 9.5,
} as const;

export type TextKind = keyof typeof FONT_SIZES;

const BOLD: readonly TextKind[] = ['title', 'heading'];
/** Factor for bold letters. */
const BOLD_FACTOR = 1.15;
const ELLIPSIS = '…';

/** Widths of characters in ems; the first match counts. */
const WIDTHS: readonly (readonly [RegExp, number])[] = [
  [/\p{M}|\p{Cf}/u, 0],
  [/[ !'(),\-./:;IJ[\\\]fijlrt|]/, 0.42],
  [/[MWmw@%&#+<=>^~]/, 1],
  [/[A-Z]/, 0.79],
  [/[\x20-\x7e]/, 0.64],
  [/\p{Extended_Pictographic}|\p{Emoji_Presentation}/u, 1.3],
];
/** Width of every other character: the full width of East Asian ones. */
const FULL_WIDTH = 1.05;

/** @returns in the picture's units */
export function textWidth(text: string, kind: TextKind): number {
  let ems = 0;
  for (const character of text) {
    ems += WIDTHS.find(([pattern]) => pattern.test(character))?.[1] ?? FULL_WIDTH;
  }
  return ems * FONT_SIZES[kind] * (BOLD.includes(kind) ? BOLD_FACTOR : 1);
}

/**
 * Shortens a name to a width of `most`. Characters are removed from its middle, because its end says more.
 * @param name as displayed
 */
export function fitted(name: string, most: number, kind: TextKind): string {
  if (textWidth(name, kind) <= most) return name;
  // Grapheme clusters are not divided.
  const characters = Array.from(new Intl.Segmenter().segment(name), ({ segment }) => segment);
  const room = most - textWidth(ELLIPSIS, kind);
  const head = taken(characters, room / 3, kind);
  const tail = taken(characters.slice(head.length).reverse(), room - textWidth(head.join(''), kind), kind);
  return head.join('') + ELLIPSIS + tail.reverse().join('');
}

/** The first characters, as many as fit. */
function taken(characters: readonly string[], room: number, kind: TextKind): string[] {
  let left = room;
  const end = characters.findIndex((character) => {
    left -= textWidth(character, kind);
    return left < 0;
  });
  return characters.slice(0, end < 0 ? undefined : end);
}
