/** Runs `info`: prints what an image is, or each image of its chain. Used by run.ts. */
import { quoted } from '../../errors.js';
import { imageReference } from '../../image/image-reference.js';
import { imageInfo } from '../../info/info.js';
import type { CommandIo } from '../command-io.js';
import { longRun } from '../long-run.js';
import { qapiJsonParts } from '../options/qapi-object.js';
import { warn } from '../progress/notice.js';
import type { StandardStream } from '../progress/progress-display.js';
import { humanText } from './human-text.js';
import { imageObject } from './image-object.js';
import type { InfoRequest } from './request.js';

/** Characters that are written at once. */
const PIECE_LENGTH = 65536;

/** With the library, which tests replace. */
export interface InfoIo extends CommandIo {
  readonly imageInfo: typeof imageInfo;
}

/**
 * @returns 0, or the exit code for the signal that ended it
 * @throws what is to be printed as an error with exit code 1
 */
export async function infoCommand(
  { options, output, progress }: InfoRequest,
  given: CommandIo & Partial<InfoIo>,
): Promise<number> {
  const io: InfoIo = { imageInfo, ...given };
  const { stdout, stderr } = io;
  // Standard output is for what is told: whoever reads it must not find progress in it.
  const withoutStdout = { ...io, stdout: stderr };
  const ended = await longRun(
    `Looking at ${quoted(imageReference(options.image).file)}`,
    progress,
    withoutStdout,
    (hooks) => io.imageInfo({ ...options, ...hooks, onWarning: (message) => warn(stderr, message) }),
  );
  if ('exitCode' in ended) return ended.exitCode;
  const infos = ended.result;
  for (const { file, qcow2 } of infos) if (qcow2?.staleBitmaps) warn(stderr, staleBitmaps(file));
  if (output === 'human') await print(stdout, humanText(infos));
  else if (options.backingChain) await print(stdout, qapiJsonParts(infos.map(imageObject)));
  else for (const info of infos) await print(stdout, qapiJsonParts(imageObject(info)));
  return 0;
}

/** Each piece when the one before has been taken: a text of any length needs no more memory than that. */
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

function staleBitmaps(file: string): string {
  return `${quoted(file)}: a program lacking bitmap support modified this file, so all bitmaps are now considered inconsistent`;
}
