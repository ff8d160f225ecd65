/** All commands: the table of each, and the function that turns its words into a request. */
import { Qcow2cError } from '../errors.js';
import { type CheckRequest, readCheckWords } from './check/request.js';
import { CHECK_TABLE } from './check/table.js';
import { type ChecksumRequest, readChecksumWords } from './checksum/request.js';
import { CHECKSUM_TABLE } from './checksum/table.js';
import { type CompareRequest, readCompareWords } from './compare/request.js';
import { COMPARE_TABLE } from './compare/table.js';
import { type CompletionRequest, readCompletionWords } from './completion/request.js';
import { COMPLETION_TABLE } from './completion/table.js';
import { type ConvertRequest, readConvertWords } from './convert/request.js';
import { CONVERT_TABLE } from './convert/table.js';
import { type HelpRequest, readHelpWords } from './help/request.js';
import { HELP_TABLE } from './help/table.js';
import { type InfoRequest, readInfoWords } from './info/request.js';
import { INFO_TABLE } from './info/table.js';
import { type ManRequest, readManWords } from './man/request.js';
import { MAN_TABLE } from './man/table.js';
import { type MapRequest, readMapWords } from './map/request.js';
import { MAP_TABLE } from './map/table.js';
import { type MeasureRequest, readMeasureWords } from './measure/request.js';
import { MEASURE_TABLE } from './measure/table.js';
import type { CommandTable } from './options/option-table.js';

export type CommandRequest =
  | ConvertRequest
  | InfoRequest
  | CheckRequest
  | ChecksumRequest
  | CompareRequest
  | MapRequest
  | MeasureRequest
  | CompletionRequest
  | ManRequest
  | HelpRequest;

type Read = (
  operands: readonly string[],
  words: object,
) => CommandRequest | { readonly kind: 'text'; readonly text: string };

/** In the order of the help. Readers get options by the last of their names, in camel case. */
export const COMMANDS: readonly { readonly table: CommandTable; readonly read: Read }[] = [
  { table: CONVERT_TABLE, read: readConvertWords },
  { table: INFO_TABLE, read: readInfoWords },
  { table: CHECK_TABLE, read: readCheckWords },
  { table: COMPARE_TABLE, read: readCompareWords },
  { table: CHECKSUM_TABLE, read: readChecksumWords },
  { table: MAP_TABLE, read: readMapWords },
  { table: MEASURE_TABLE, read: readMeasureWords },
  { table: COMPLETION_TABLE, read: readCompletionWords },
  { table: MAN_TABLE, read: readManWords },
  { table: HELP_TABLE, read: readHelpWords },
];

/** Commands of qemu-img that qcow2c does not have. */
const FOREIGN = ['amend', 'bench', 'bitmap', 'commit', 'create', 'dd', 'rebase', 'resize', 'snapshot'];

/** @throws Qcow2cError ERR_UNSUPPORTED for a command that only qemu-img has */
export function refuseForeignCommand(name: string): void {
  if (!FOREIGN.includes(name)) return;
  throw new Qcow2cError('ERR_UNSUPPORTED', `qcow2c has no command '${name}'; use 'qemu-img ${name}'`);
}
