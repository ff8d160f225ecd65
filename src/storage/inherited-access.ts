/**
 * Copies owner, group, permissions, access control list, security label and `user.*` attributes to a new target from
 * the file that it replaces. A user without access to the old file never gets access to the new one.
 */
import { fchmod, fchown, fstatSync, type Stats } from 'node:fs';
import { promisify } from 'node:util';
import { quoted, systemReason } from '../errors.js';
import { type ExtendedAttributes, loadExtendedAttributes } from '../system/extended-attributes.js';
import type { HeldFile } from './replaced-file.js';

const changeOwner = promisify(fchown);
const changeMode = promisify(fchmod);
const PERMISSIONS = 0o7777;
const OWNER_RIGHTS = 0o700;
const GROUP_RIGHTS = 0o070;
const OTHERS_RIGHTS = 0o007;
/** With these bits a program runs as the owner, or the group, of its file. */
const SET_UID = 0o4000;
const SET_GID = 0o2000;
/** Tells fchown(2) to leave the owner or the group unchanged. */
const UNCHANGED = -1;

/** The attributes that hold access control lists: POSIX's (acl(5)), and those of NFS version 4. */
const ACCESS_LISTS = ['system.posix_acl_access', 'system.nfs4_acl'];
/** The attributes by which SELinux and Smack decide which programs may read a file. */
const SECURITY_LABELS = ['security.selinux', 'security.SMACK64'];

/**
 * @param descriptor of the new file, which is empty and accessible to its owner only
 * @param old the file that it replaces
 * @param attributes tests replace them
 * @returns a notice for each property that could not be copied, as a sentence about the target
 * @throws the system's error when the access cannot be copied or cannot be read
 */
export async function inheritAccess(
  descriptor: number,
  old: HeldFile,
  attributes?: ExtendedAttributes,
): Promise<string[]> {
  const known = attributes ?? (await loadExtendedAttributes());
  // A default list of the directory gives a new file a list of its own, with no right in effect yet.
  known?.remove(descriptor, 'system.posix_acl_access');
  const { uid, gid, mode } = old.stats;
  await changeOwner(descriptor, uid, gid)
    .catch(() => changeOwner(descriptor, UNCHANGED, gid))
    .catch(() => {});
  const made = fstatSync(descriptor);
  const missing =
    known === undefined ? unknownRules(made, mode) : takeOverRules(known, descriptor, made, old);
  await setMode(
    descriptor,
    missing === undefined ? allowedMode(made, old.stats) : mode & OWNER_RIGHTS,
    (made.mode & (GROUP_RIGHTS | OTHERS_RIGHTS)) !== 0,
  );
  const notices = missing === undefined ? [] : [`is now accessible to its owner only, because ${missing}`];
  return known === undefined
    ? notices
    : [...notices, ...takeOverUserAttributes(known, descriptor, old.descriptor)];
}

/**
 * Finds out whether access may depend on lists or labels that cannot be read.
 * @returns the reason to leave the file accessible to its owner only; undefined: there are no such lists or labels
 */
function unknownRules({ mode: made }: Stats, mode: number): string | undefined {
  const everyone = GROUP_RIGHTS | OTHERS_RIGHTS;
  // A file system without permissions has no lists or labels either.
  if ((mode & everyone) === 0 || (made & everyone) !== 0) return undefined;
  return 'access control lists cannot be read on this system without the package koffi';
}

/** @returns why the file must stay accessible to its owner only; undefined: it has the old file's label and list */
function takeOverRules(
  known: ExtendedAttributes,
  descriptor: number,
  made: Stats,
  old: HeldFile,
): string | undefined {
  for (const name of SECURITY_LABELS) {
    const label = known.get(old.descriptor, name);
    const own = known.get(descriptor, name);
    if (label === undefined || own?.equals(label)) continue;
    const reason = refusal(() => known.set(descriptor, name, label));
    // If new files get no label, the system uses no labels.
    if (reason !== undefined && own !== undefined) {
      return `the security label of the file that it replaces could not be kept (${reason})`;
    }
  }
  for (const name of ACCESS_LISTS) {
    const list = known.get(old.descriptor, name);
    if (list === undefined) continue;
    const reason =
      made.gid === old.stats.gid
        ? refusal(() => known.set(descriptor, name, list))
        : 'its group could not be kept';
    if (reason !== undefined) {
      return `the access control list of the file that it replaces could not be kept (${reason})`;
    }
  }
  return undefined;
}

/** Copies the `user.*` attributes, as qemu-img keeps them. @returns a notice when some could not be copied */
function takeOverUserAttributes(known: ExtendedAttributes, descriptor: number, old: number): string[] {
  const lost: string[] = [];
  const failure = refusal(() => {
    for (const name of known.list(old).filter((listed) => listed.startsWith('user.'))) {
      const value = known.get(old, name);
      const reason = value && refusal(() => known.set(descriptor, name, value));
      if (reason !== undefined) lost.push(`${quoted(name)} (${reason})`);
    }
  });
  if (failure !== undefined)
    return [`has lost the user attributes of the file that it replaces (${failure})`];
  const [first, ...others] = lost;
  if (first === undefined) return [];
  const more = others.length === 0 ? '' : ` and ${others.length} more`;
  return [`has lost the attribute ${first}${more} of the file that it replaces`];
}

/** @returns the system's reason if the attempt fails */
function refusal(attempt: () => void): string | undefined {
  try {
    attempt();
    return undefined;
  } catch (error) {
    return systemReason(error);
  }
}

/** @param isFixed the file system has the same permissions for every file, and may refuse to set them */
async function setMode(descriptor: number, mode: number, isFixed: boolean): Promise<void> {
  if ((fstatSync(descriptor).mode & PERMISSIONS) === mode) return;
  await changeMode(descriptor, mode).catch((error) => {
    if (!isFixed) throw error;
  });
}

/**
 * Limits the permissions when owner or group could not be copied. The special bits of the missing owner or group are
 * cleared. Members of the old group become others and others become members of the new group, so both get the rights
 * that both had.
 */
function allowedMode(made: Stats, { uid, gid, mode }: Stats): number {
  const owned = made.uid === uid ? mode & PERMISSIONS : mode & PERMISSIONS & ~SET_UID;
  if (made.gid === gid) return owned;
  const both = ((mode & GROUP_RIGHTS) >> 3) & mode & OTHERS_RIGHTS;
  return (owned & ~(SET_GID | GROUP_RIGHTS | OTHERS_RIGHTS)) | (both << 3) | both;
}
