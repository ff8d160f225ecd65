/** Runs `checksum`: prints the digest of each image, or verifies the images of lists. */
import { checksum } from '../../checksum/checksum.js';
import type { CommandIo } from '../command-io.js';
import { type QapiObject, qapiJson } from '../options/qapi-object.js';
import { type ChecksumIo, digestImage, errorObject, type Outcome } from './digest-image.js';
import { listLine, shownLine } from './list-line.js';
import { ListVerification } from './list-verification.js';
import type { ChecksumRequest } from './request.js';

/**
 * @returns the exit code
 * @throws an error that is no fault of an image
 */
export async function checksumCommand(
  request: ChecksumRequest,
  given: CommandIo & Partial<ChecksumIo>,
): Promise<number> {
  const io: ChecksumIo = { checksum, ...given };
  const digest = (name: string) => digestImage(name, request, io);
  const objects: QapiObject[] = [];
  const print = async (text: string, object: QapiObject) => {
    if (request.output === 'json') objects.push(object);
    else await new Promise<void>((resolve) => io.stdout.write(shownLine(text, io.stdout), () => resolve()));
  };
  const code = request.words.check
    ? await new ListVerification(request, io, digest, print).run()
    : await printDigests(request, digest, print);
  if (request.output === 'json' && !request.words.status) io.stdout.write(qapiJson(objects));
  return code;
}

async function printDigests(
  { files }: ChecksumRequest,
  digest: (name: string) => Promise<Outcome>,
  print: (text: string, object: QapiObject) => Promise<void>,
): Promise<number> {
  let code = 0;
  for (const filename of files) {
    const outcome = await digest(filename);
    if ('exitCode' in outcome) return outcome.exitCode;
    if ('error' in outcome) {
      code = 1;
      await print('', { filename, error: errorObject(outcome.error) });
    } else {
      const { digest: found, format, virtualSize } = outcome.result;
      const object = { filename, format, 'virtual-size': virtualSize, digest: found };
      await print(listLine(found, filename), object);
    }
  }
  return code;
}
