/** Judges the outcome of a conversion in which one system call failed. Used by the sweep. */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { dirname } from 'node:path';
import { Qcow2cError, quoted } from '../../src/errors.js';
import type { FailedCall, Operation, PlannedFault } from './failing-calls.js';
import { verdictOn, WORDS } from './fault-kinds.js';
import { type Place, STREAM, type SweptPath } from './swept-paths.js';

const TEMPORARY = '.target.qcow2c.tmp';

/** The state after a conversion. */
export interface Outcome {
  readonly error: unknown;
  /** The content of the target's directory. */
  readonly files: string;
}

interface Case {
  readonly path: SweptPath;
  readonly planned: PlannedFault;
  /** The call that failed, if one did. */
  readonly failed: FailedCall | undefined;
  readonly outcome: Outcome;
  /** Of the same conversion when nothing fails. */
  readonly undisturbed: Outcome;
  /** The content of the target's directory at the start. */
  readonly before: string;
  readonly place: Place;
}

/** Names, kinds, modes and bytes of the files in the target's directory. */
export function directoryContent(place: Place): string {
  const entries = fs.readdirSync(place.out('')).sort();
  return entries
    .map((name) => {
      const path = place.out(name);
      const stats = fs.lstatSync(path);
      const bytes = stats.isSymbolicLink() ? fs.readlinkSync(path) : fs.readFileSync(path);
      const digest = createHash('sha256').update(bytes).digest('hex').slice(0, 16);
      return `${name} ${stats.mode.toString(8)} ${stats.size} ${digest}`;
    })
    .join(', ');
}

/** @returns violations */
export function judge({ path, planned, failed, outcome, undisturbed, before, place }: Case): string[] {
  const { error, files } = outcome;
  const { operation } = planned;
  const isAsEver = textOf(error) === textOf(undisturbed.error);
  // Files removed after another error are examined before.
  const removes = path.refused && operation === 'stat' && failed?.path === place.out(TEMPORARY);
  const usual = failed && verdictOn(planned, failed);
  const verdict = removes && isAsEver ? 'the same, and the temporary file stays' : usual;
  const problems: string[] = [];
  const left = verdict === 'the same, and the temporary file stays' ? without(files, TEMPORARY) : files;
  if (isAsEver && left !== undisturbed.files) problems.push(`the result is ${files}`);
  if (!isAsEver && path.inPlace !== true) {
    const wanted = [before];
    if (path.leftover !== undefined) wanted.push(without(before, path.leftover));
    if (verdict === 'its error, and a file that has its name keeps it') {
      // The finished file is looked at once more under its name.
      const isNamed = operation === 'stat' && failed?.path === place.out(path.linked ?? 'target');
      if (isNamed || failed?.path.endsWith('/out')) wanted.push(undisturbed.files);
      if (path.namedFirst !== undefined) wanted.push(withNewer(before, undisturbed.files, path.namedFirst));
    }
    if (!wanted.includes(files)) problems.push(`the error leaves ${files}`);
  }
  if (failed === undefined) {
    if (!isAsEver) problems.push(`nothing failed, and still: ${textOf(error)}`);
  } else if (isAsEver) {
    if (verdict === undefined || verdict.startsWith('its error'))
      problems.push('the failure was passed over');
  } else if (operation === 'lock' && path.leftover !== undefined && codeOf(error) === 'ERR_IN_USE') {
    // Without locks the owner of a temporary file is unknown.
  } else if (verdict === 'the same result') {
    problems.push(`is an error: ${textOf(error)}`);
  } else {
    problems.push(...wrongInError(error, planned, failed, path, place));
  }
  return problems;
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Qcow2cError ? error.code : undefined;
}

function textOf(error: unknown): string {
  return error === undefined ? 'no error' : String(error);
}

/** Missing or wrong facts in the error of a failed call. */
function wrongInError(
  error: unknown,
  { operation, fault }: PlannedFault,
  failed: FailedCall,
  path: SweptPath,
  place: Place,
): string[] {
  if (!(error instanceof Qcow2cError)) {
    return [`no error of ours: ${error instanceof Error ? error.stack : error}`];
  }
  const { code, file, offset, systemCode, message } = error;
  // A leftover of an earlier run has its own name.
  const name = message.includes('left behind by') ? failed.path : nameOf(failed.path, operation, path, place);
  const words = WORDS[fault.error ?? ''] ?? '?';
  const hasPlace = ['read', 'write', 'seek'].includes(operation) && failed.offsets[0] !== -1;
  // In verification, `guestOffset` is the guest's and the message has the file's offset.
  const told = message.includes('was read back') ? placeIn(message) : offset;
  const wrong: string[] = [];
  if (code !== 'ERR_IO') wrong.push(`the code is ${code}`);
  if (!isFile(file, name)) wrong.push(`the file is ${file} instead of ${name}`);
  if (systemCode !== fault.error) wrong.push(`the reason is ${systemCode} instead of ${fault.error}`);
  if (hasPlace && !failed.offsets.includes(told ?? -1)) {
    wrong.push(`the offset is ${told} instead of ${failed.offsets.join(' or ')}`);
  }
  if (!message.includes(quoted(file ?? name))) wrong.push('the message does not name the file');
  if (!message.toLowerCase().endsWith(words.toLowerCase()))
    wrong.push('the message does not end with the reason');
  return wrong.map((what) => `${what}: ${message}`);
}

/** The name of a file as the caller gave it. */
function nameOf(file: string, operation: Operation, { linked, stream }: SweptPath, place: Place): string {
  if (stream !== undefined && file === place.source(stream)) return STREAM;
  const name = file.replace(/\.([^/]*)\.qcow2c\.tmp$/, '$1');
  return linked !== undefined && (name === place.out(linked) || operation === 'realpath')
    ? place.out('target')
    : name;
}

/** Whether an error that names `file` is about `name`, which may be a directory that was looked at on the way to it. */
function isFile(file: string | undefined, name: string): boolean {
  return file === name || (name.endsWith('/out') && dirname(file ?? '') === name);
}

/** The last offset in a message. */
function placeIn(message: string): number {
  return Number(/^.* at offset (\d+)/.exec(message)?.[1]);
}

/** The directory's content before, except one file, which is as it is afterwards. */
function withNewer(before: string, after: string, name: string): string {
  const isIt = (file: string) => file.startsWith(`${name} `);
  const others = before.split(', ').filter((file) => !isIt(file));
  return [...others, ...after.split(', ').filter(isIt)].sort().join(', ');
}

/** The directory's content but for one file. */
function without(files: string, name: string): string {
  return files
    .split(', ')
    .filter((file) => !file.startsWith(`${name} `))
    .join(', ');
}
