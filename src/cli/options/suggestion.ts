/** Suggests known words for an unknown one. Used wherever a word is refused. */

/** Maximum number of edits; more would make another word. */
const MOST_EDITS = 3;
/** Minimum length of an abbreviation in characters, dashes included. */
const SHORTEST_START = 4;

/**
 * @param word as typed
 * @param known all valid words
 * @returns ` (Did you mean ...?)`, or an empty text if no word is similar
 */
export function suggestion(word: string, known: Iterable<string>): string {
  const near = nearest(word.toLowerCase(), [...new Set(known)]);
  if (near.length === 0) return '';
  return near.length === 1 ? ` (Did you mean ${near[0]}?)` : ` (Did you mean one of ${near.join(', ')}?)`;
}

/** Adds a hint to a message, in brackets; existing brackets are extended. */
export function withHint(message: string, hint: string): string {
  return message.endsWith(')') ? `${message.slice(0, -1)}; ${hint})` : `${message} (${hint})`;
}

/**
 * The words that the word abbreviates; otherwise those with the fewest edits, which must keep more of it than they
 * change.
 */
function nearest(word: string, known: readonly string[]): readonly string[] {
  const begun = known.filter((candidate) => word.length >= SHORTEST_START && candidate.startsWith(word));
  if (begun.length > 0) return begun;
  const edits = known.map((candidate) => {
    const length = Math.max(candidate.length, word.length);
    const count = editDistance(word, candidate.toLowerCase());
    const shared = word.startsWith('--') ? length - 2 : length;
    return count <= MOST_EDITS && count < shared * 0.6 ? count : Number.POSITIVE_INFINITY;
  });
  const fewest = Math.min(...edits);
  return fewest === Number.POSITIVE_INFINITY ? [] : known.filter((_, index) => edits[index] === fewest);
}

/** The number of letters added, removed, replaced or swapped with a neighbour (optimal string alignment). */
function editDistance(from: string, to: string): number {
  const edits = (row: readonly number[], column: number) => row[column] ?? Number.POSITIVE_INFINITY;
  let before: readonly number[] = [];
  let above: readonly number[] = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row++) {
    const here = [row];
    for (let column = 1; column <= to.length; column++) {
      const replaced = edits(above, column - 1) + (from[row - 1] === to[column - 1] ? 0 : 1);
      const exchanged = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      here.push(
        Math.min(
          edits(above, column) + 1,
          edits(here, column - 1) + 1,
          replaced,
          exchanged ? edits(before, column - 2) + 1 : Number.POSITIVE_INFINITY,
        ),
      );
    }
    [before, above] = [above, here];
  }
  return edits(above, to.length);
}
