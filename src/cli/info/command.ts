/** Runs `info`: prints the description of an image, or of each image of its chain. */
import { quoted } from '../../errors.js';
import { staleBitmaps } from '../../image/dirty-bitmap.js';
import { imageReference } from '../../image/image-reference.js';
import { imageInfo } from '../../info/info.js';
import type { CommandIo } from '../command-io.js';
import { longRun } from '../long-run.js';
import { qapiJsonParts } from '../options/qapi-object.js';
import { warn } from '../progress/notice.js';
import type { StandardStream } from '../progress/progress-display.js';
import { imageInfoText } from './human-text.js';
import { imageObject } from './image-object.js';
import type { InfoRequest } from './request.js';

/** Characters of one write. */
const PIECE_LENGTH = 65536;

/** Includes the library functions, so that tests can replace them. */
interface InfoIo extends CommandIo {
  readonly imageInfo: typeof imageInfo;
}

/**
 * @returns 0, or the exit code for the signal that ended it
 * @throws the error to print with exit code 1
 */
export async function infoCommand(
  { options, output, progress }: InfoRequest,
  given: CommandIo & Partial<InfoIo>,
): Promise<number> {
  const io: InfoIo = { imageInfo, ...given };
  const { stdout, stderr } = io;
  // Standard output is for the description only; progress goes to standard error.
  const withoutStdout = { ...io, stdout: stderr };
  const ended = await longRun(
    `Looking at ${quoted(imageReference(options.image).file)}`,
    progress,
    withoutStdout,
    (hooks) => io.imageInfo({ ...options, ...hooks, onWarning: (message) => warn(stderr, message) }),
  );
  if ('exitCode' in ended) return ended.exitCode;
  const infos = ended.result;
  for (const { file, qcow2 } of infos) {
    if (qcow2?.staleBitmaps) warn(stderr, `${quoted(file)}: ${staleBitmaps('this file')}`);
  }
  if (output === 'human') await print(stdout, imageInfoText(infos));
  else if (options.backingChain) await print(stdout, qapiJsonParts(infos.map(imageObject)));
  else for (const info of infos) await print(stdout, qapiJsonParts(imageObject(info)));
  return 0;
}

/** Writes each piece after the previous one was taken, so memory does not grow with the text. */
async function print(stdout: StandardStream, parts: Iterable<string>): Promise<void> {
  let text = '';
  const write = () => new Promise<void>((resolve) => stdout.write(text, () => resolve()));
  for (const part of parts) {
    text += part;
    if (text.length < PIECE_LENGTH) continue;
    await write();
    text = '';
  }
  await write();
}
