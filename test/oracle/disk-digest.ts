/** The digest of a disk by another program, written from its definition in another language. */
import { fileURLToPath } from 'node:url';
import { runOk } from './run.js';

const PROGRAM = fileURLToPath(new URL('./disk-digest.py', import.meta.url));

/** @param raw a raw disk of whole sectors */
export async function diskDigest(raw: string): Promise<string> {
  return (await diskDigests([raw]))[0]!;
}

/** The same of several disks, by one start of the program. */
export async function diskDigests(disks: readonly string[]): Promise<string[]> {
  return (await runOk('python3', ['-S', '-I', PROGRAM, ...disks])).trimEnd().split('\n');
}
