/** Runs `map` and prints its result, range by range or as a picture. */
import { mapImage } from '../../map/map-image.js';
import type { MapOptions } from '../../map/options.js';
import { surveyImage } from '../../map/survey-image.js';
import type { CommandIo } from '../command-io.js';
import { warn } from '../progress/notice.js';
import { PacedOutput } from './paced-output.js';
import { HUMAN_TEXT, JsonText, type RangesText } from './ranges-text.js';
import type { MapRequest } from './request.js';
import { picture } from './svg/picture.js';

/** @returns the exit code @throws the error to print with exit code 1 */
export async function mapCommand(request: MapRequest, { stdout, stderr }: CommandIo): Promise<number> {
  const { output } = request;
  const options: MapOptions = { ...request.options, onWarning: (message) => warn(stderr, message) };
  const printed = new PacedOutput(stdout);
  try {
    if (output === 'svg') printed.add(picture(await surveyImage(options)));
    else await printRanges(options, output === 'json' ? new JsonText() : HUMAN_TEXT, printed);
  } finally {
    // Includes the ranges before one that failed.
    await printed.flush();
  }
  return 0;
}

async function printRanges(options: MapOptions, text: RangesText, printed: PacedOutput): Promise<void> {
  let before = text.begin;
  for await (const range of mapImage(options)) {
    printed.add(before);
    before = '';
    if (printed.add(text.of(range))) await printed.flush();
    if (!printed.isOpen) return;
  }
  printed.add(text.end);
}
