/** Runs `map` and prints what it finds, range by range or as a picture. Used by main.ts. */
import { mapImage } from '../../map/map-image.js';
import { type Surroundings, THIS_PROCESS } from '../surroundings.js';
import { PacedOutput } from './paced-output.js';
import { HUMAN_TEXT, JsonText } from './ranges-text.js';
import type { MapRequest } from './request.js';

/** @returns the exit code @throws what is to be printed as an error with exit code 1 */
export async function mapCommand(
  { options, output }: MapRequest,
  { stdout }: Surroundings = THIS_PROCESS,
): Promise<number> {
  const printed = new PacedOutput(stdout);
  const text = output === 'json' ? new JsonText() : HUMAN_TEXT;
  let before = text.begin;
  try {
    for await (const range of mapImage(options)) {
      await printed.write(before);
      before = '';
      if (!(await printed.write(text.of(range)))) return 0;
    }
    await printed.write(text.end);
  } finally {
    // With the ranges before the one that could not be told.
    await printed.flush();
  }
  return 0;
}
