/** Reads a command's image: its name, or its options with --image-opts. Used by all commands but convert. */
import { Qcow2cError, quoted, usageError } from '../../errors.js';
import type { ImageReference } from '../../image/image-reference.js';
import { asksForDirect } from '../../storage/cache-mode.js';
import { sourceFile } from './file-names.js';
import { sourceFormatOf } from './image-formats.js';
import { readImageOptions } from './image-options.js';

/** The options that apply to the name, as typed. */
interface ImageWords {
  /** The value of -f. */
  readonly format?: string | undefined;
  /** As in ImageReference, if it is another option. */
  readonly formatOption?: string | undefined;
  /** --image-opts: the operand is a list of options, not a name. */
  readonly imageOpts?: boolean | undefined;
  readonly forceShare?: boolean | undefined;
  /** The cache mode of another option. */
  readonly cache?: string | undefined;
}

/** @throws Qcow2cError ERR_USAGE or ERR_UNSUPPORTED, in qemu-img's words */
export function readImageArgument(
  text: string,
  { format, formatOption, imageOpts = false, forceShare = false, cache }: ImageWords,
): ImageReference {
  if (imageOpts) {
    if (format !== undefined) throw usageError('--image-opts and --format are mutually exclusive');
    const reference = readImageOptions(text, { role: 'source', direct: asksForDirect(cache), forceShare });
    return forceShare ? { ...reference, forceShare } : reference;
  }
  const shared = forceShare ? { forceShare } : {};
  refuseStandardInput(text);
  if (format === undefined) {
    return { file: sourceFile(text), ...(formatOption === undefined ? {} : { formatOption }), ...shared };
  }
  const stated = sourceFormatOf(format, `Could not open ${quoted(text)}: `);
  return { file: sourceFile(text), format: stated, ...shared };
}

/** These commands read an image in more than one place. */
function refuseStandardInput(text: string): void {
  if (text !== '-') return;
  throw new Qcow2cError(
    'ERR_UNSUPPORTED',
    "Standard input ('-') is read once, so only 'convert' and 'measure -c' accept it; save it to a file first " +
      "(a file of that name is './-')",
  );
}

/**
 * The only operand of a command.
 * @throws Qcow2cError ERR_USAGE unless there is one, in qemu-img's words
 */
export function oneOperand(operands: readonly string[]): string {
  const [name] = operands;
  if (name !== undefined && operands.length === 1) return name;
  const found = name === undefined ? 'none was given' : `not ${operands.map(quoted).join(' and ')}`;
  throw usageError(`Expecting one image file name (${found})`);
}
