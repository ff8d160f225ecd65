/** Which of the words that there are was meant by one that is none. Used wherever a word is refused. */

/** More than this would rather be another word. */
const MOST_EDITS = 3;
/** An abbreviation has at least so many characters, dashes included. */
const SHORTEST_START = 4;

/**
 * @param word as it was typed
 * @param known all words that would do
 * @returns ` (Did you mean ...?)`, or nothing when the word is like none of them
 */
export function suggestion(word: string, known: Iterable<string>): string {
  const near = nearest(word.toLowerCase(), [...new Set(known)]);
  if (near.length === 0) return '';
  return near.length === 1 ? ` (Did you mean ${near[0]}?)` : ` (Did you mean one of ${near.join(', ')}?)`;
}

/** Adds a hint in brackets behind a message, or to one that is there. */
export function withHint(message: string, hint: string): string {
  return message.endsWith(')') ? `${message.slice(0, -1)}; ${hint})` : `${message} (${hint})`;
}

/** Those that the word abbreviates, else those with the fewest edits, which must leave more of it than they change. */
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

/** Letters added, left out, replaced or exchanged with their neighbour (optimal string alignment). */
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
