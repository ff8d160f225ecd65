/**
 * Parses -l: an identifier or a name, or snapshot.id=ID,snapshot.name=NAME. The rules are those of
 * internal_snapshot_opts in QEMU's block/snapshot.c. Used by the reader of convert's options.
 */
import { usageError } from '../../errors.js';
import type { SnapshotSelector } from '../../qcow2/snapshot-table.js';
import { splitOptionList } from './option-list.js';

/** @throws Qcow2cError ERR_USAGE for a key that is neither of the two */
export function readSnapshot(text: string): SnapshotSelector {
  if (!text.startsWith('snapshot.')) return { idOrName: text };
  let id: string | undefined;
  let name: string | undefined;
  for (const { key, value } of splitOptionList(text)) {
    if (key === 'snapshot.id') id = value;
    else if (key === 'snapshot.name') name = value;
    else throw usageError(`Failed in parsing snapshot param '${text}': Invalid parameter '${key}'`);
  }
  return { id, name };
}
