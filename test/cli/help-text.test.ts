import { describe, expect, test } from 'vitest';
import { parseCommandLine } from '../../src/cli/command-line.js';
import { CONVERT_HELP, PROGRAM_HELP } from '../../src/cli/help-text.js';

/** Every letter and long name that the help shows at the start of a line. */
function shownFlags(help: string): string[] {
  return [...help.matchAll(/^ {2}(-.+?)(?: {2,}|$)/gm)].flatMap(
    ([, flags = '']) => flags.match(/--?[A-Za-z-]+/g) ?? [],
  );
}

describe('help', () => {
  test('fits into 80 columns and has no blanks at the ends of its lines', () => {
    for (const line of `${PROGRAM_HELP}${CONVERT_HELP}`.split('\n')) {
      expect(line.length, line).toBeLessThanOrEqual(80);
      expect(line).toBe(line.trimEnd());
    }
  });

  test('shows exactly the options that there are', () => {
    expect(shownFlags(CONVERT_HELP)).toEqual([
      ...['-f', '--source-format', '--image-opts', '--source-image-opts', '-l', '--snapshot'],
      ...['--bitmaps', '--skip-broken-bitmaps', '--salvage', '--isolated'],
      ...['-T', '--source-cache', '-U', '--force-share'],
      ...['-O', '--target-format', '-o', '--target-format-options', '-b', '-B', '--backing'],
      ...['-F', '--backing-format', '-S', '--sparse-size', '-n', '--no-create', '--target-is-zero'],
      ...['--target-image-opts', '-t', '--target-cache', '-r', '--rate-limit'],
      ...['-c', '--compress', '--recompress', '--engine', '-m', '--parallel', '--compressed-cache-size'],
      ...['-W', '--oob-writes', '-C', '--copy-range-offloading', '--object'],
      ...['-p', '--progress', '-q', '--quiet', '-v', '--verbose', '--debug'],
      ...['-V', '--version', '-h', '--help'],
    ]);
    // An option that is known complains, if at all, of its value or of the file names that are missing.
    for (const flag of shownFlags(CONVERT_HELP)) {
      const attempt = () => parseCommandLine(['convert', flag]);
      if (['-V', '--version', '-h', '--help'].includes(flag)) expect(attempt).not.toThrow();
      else expect(attempt).toThrow(/argument missing|Must specify image file name|requires/);
    }
  });

  test('its examples are command lines that work', () => {
    const examples = [
      ...CONVERT_HELP.matchAll(/^ {4}qcow2c (.*)$/gm),
      ...PROGRAM_HELP.matchAll(/^ {2}qcow2c (.*)$/gm),
    ];
    expect(examples).toHaveLength(8);
    for (const [, line = ''] of examples) expect(parseCommandLine(line.split(' ')).kind).toBe('convert');
  });
});
