/**
 * Attributes that a new file copies from the file that it replaces, on a real file system and where parts are refused.
 */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { inheritAccess } from '../../src/storage/inherited-access.js';
import { openTarget } from '../../src/storage/open-target.js';
import { type HeldFile, holdExisting } from '../../src/storage/replaced-file.js';
import { type ExtendedAttributes, loadExtendedAttributes } from '../../src/system/extended-attributes.js';
import { systemError } from '../../src/system/libc.js';
import { useScratch } from '../e2e/scratch.js';

const scratch = useScratch();
let directory = '';
let path = '';
beforeEach(({ task }) => {
  directory = scratch(task.id);
  fs.mkdirSync(directory);
  path = `${directory}/image.qcow2`;
  fs.writeFileSync(path, 'the old image');
});

const call = (program: string, ...args: string[]) => execFileSync(program, args, { encoding: 'utf8' });
const setAcl = (...args: string[]) => call('setfacl', ...args);
/** The access control list without the default entries of a directory; the permissions of a file without a list. */
const aclOf = (file: string) => call('getfacl', '-cpan', file).trim().split('\n');
const temporary = () => `${directory}/.image.qcow2.qcow2c.tmp`;
const modeOf = (file: string) => fs.statSync(file).mode & 0o7777;

describe('the access control list', () => {
  test.each([
    ['of the owner and a reader', ['-m', 'u:12345:r'], 0o600],
    ['with a group that may write, and a mask', ['-m', 'g:23456:rw,m::r'], 0o640],
    ['that denies a user the rights that all others have', ['-m', 'u:12345:-'], 0o644],
  ])('%s is copied from the old file, to the temporary file too', async (_, words, mode) => {
    fs.chmodSync(path, mode);
    setAcl(...words, path);
    const before = aclOf(path);
    const target = await openTarget(path, 'none', false);
    expect([aclOf(temporary()), target.notices]).toEqual([before, []]);
    await target.commit(0);
    expect(aclOf(path)).toEqual(before);
  });

  test('that the directory gives to new files is not given to a file that replaces one without a list', async () => {
    fs.chmodSync(path, 0o640);
    const before = aclOf(path);
    setAcl('-d', '-m', 'u:12345:rwx,g:23456:rx,o::rx', directory);
    fs.writeFileSync(`${directory}/other`, '');
    expect(aclOf(`${directory}/other`).some((line) => line.startsWith('user:12345:rwx'))).toBe(true);
    const target = await openTarget(path, 'none', false);
    expect([aclOf(temporary()), target.notices]).toEqual([before, []]);
    await target.commit(0);
    expect(aclOf(path)).toEqual(before);
  });

  test('of the directory applies to a target that is new', async () => {
    fs.rmSync(path);
    setAcl('-d', '-m', 'u:12345:r', directory);
    await (await openTarget(path, 'none', false)).commit(0);
    expect(aclOf(path)).toContain('user:12345:r--');
  });

  test('is set before any user but the owner can read the file', async () => {
    fs.chmodSync(path, 0o644);
    setAcl('-m', 'u:12345:r,g:23456:r', path);
    setAcl('-d', '-m', 'u:54321:r', directory);
    const real = await loaded();
    const open: string[] = [];
    await inherit({
      ...real,
      set: (descriptor, name, value) => {
        open.push(`${name} at ${(fs.fstatSync(descriptor).mode & 0o777).toString(8)}`);
        expect(real.get(descriptor, 'system.posix_acl_access')).toBeUndefined();
        real.set(descriptor, name, value);
      },
    });
    expect(open).toEqual(['system.posix_acl_access at 600']);
    expect(aclOf(`${directory}/new`)).toEqual(aclOf(path));
  });
});

async function loaded(): Promise<ExtendedAttributes> {
  const attributes = await loadExtendedAttributes();
  if (attributes === undefined) throw new Error('This system has no functions for extended attributes');
  return attributes;
}

/** Makes a new file as a target does, and copies the old one's attributes to it. @returns the notices */
async function inherit(attributes: ExtendedAttributes, change: Partial<HeldFile> = {}): Promise<string[]> {
  const held = await holdExisting(path);
  const descriptor = fs.openSync(`${directory}/new`, 'wx+', 0o600);
  try {
    return await inheritAccess(descriptor, { ...held, ...change }, attributes);
  } finally {
    fs.closeSync(descriptor);
    await held.letGo();
  }
}

/** Attributes of the old file and of the new one; `refuses` lists those that cannot be set. */
function forged(
  old: Readonly<Record<string, string>>,
  made: Readonly<Record<string, string>>,
  refuses: (name: string) => boolean,
): { readonly attributes: ExtendedAttributes; readonly given: Record<string, string> } {
  const ino = fs.statSync(path).ino;
  const given: Record<string, string> = { ...made };
  const attributes: ExtendedAttributes = {
    get: (descriptor, name) => {
      const value = (fs.fstatSync(descriptor).ino === ino ? old : given)[name];
      return value === undefined ? undefined : Buffer.from(value);
    },
    set: (_, name, value) => {
      if (refuses(name)) throw systemError(1);
      given[name] = Buffer.from(value).toString();
    },
    remove: (_, name) => void delete given[name],
    list: () => Object.keys(old),
  };
  return { attributes, given };
}

describe('a file whose list or label cannot be kept is accessible to its owner only, with a notice', () => {
  beforeEach(() => fs.chmodSync(path, 0o754));
  const refuseAll = () => true;

  test.each([
    ['system.posix_acl_access', 'access control list'],
    ['system.nfs4_acl', 'access control list'],
    ['security.selinux', 'security label'],
    ['security.SMACK64', 'security label'],
  ])('%s', async (name, what) => {
    const { attributes } = forged({ [name]: 'old' }, { [name]: 'of a new file' }, refuseAll);
    expect(await inherit(attributes)).toEqual([
      `is now accessible to its owner only, because the ${what} of the file that it replaces could not be kept ` +
        '(Operation not permitted)',
    ]);
    expect(modeOf(`${directory}/new`)).toBe(0o700);
  });

  test('a list, if the group cannot be kept', async () => {
    const gid = process.geteuid?.() === 0 ? 2 ** 32 - 1 : 0;
    const { attributes, given } = forged({ 'system.posix_acl_access': 'old' }, {}, () => false);
    const held = fs.statSync(path);
    const notices = await inherit(attributes, { stats: Object.assign(held, { gid }) });
    expect(notices).toEqual([expect.stringMatching(/ \(its group could not be kept\)$/)]);
    expect([modeOf(`${directory}/new`), given]).toEqual([0o700, {}]);
  });

  test('but not for a label on a system that gives new files none, because it uses no labels', async () => {
    const { attributes } = forged({ 'security.selinux': 'stray' }, {}, refuseAll);
    expect(await inherit(attributes)).toEqual([]);
    expect(modeOf(`${directory}/new`)).toBe(0o754);
  });

  test('and an attribute that cannot be read is an error', async () => {
    const attributes: ExtendedAttributes = {
      ...forged({}, {}, refuseAll).attributes,
      get: () => {
        throw systemError(5);
      },
    };
    await expect(inherit(attributes)).rejects.toMatchObject({ code: 'EIO' });
  });
});

describe('attributes', () => {
  test('of the kind user.* are kept, and a security label is', async () => {
    call('setfattr', '-n', 'user.policy', '-v', 'daily', path);
    call('setfattr', '-n', 'user.empty', path);
    await (await openTarget(path, 'none', false)).commit(0);
    const listed = call('getfattr', '--absolute-names', '-d', path).trim().split('\n').slice(1);
    expect(listed.sort()).toEqual(['user.empty=""', 'user.policy="daily"']);
    const { attributes, given } = forged(
      { 'security.selinux': 'old' },
      { 'security.selinux': 'new' },
      () => false,
    );
    expect(await inherit(attributes)).toEqual([]);
    expect(given).toEqual({ 'security.selinux': 'old' });
  });

  test('that describe the old content, or belong to a file system, are not kept', async () => {
    const old = {
      'security.capability': 'x',
      'security.ima': 'x',
      'security.evm': 'x',
      'trusted.overlay.origin': 'x',
    };
    const { attributes, given } = forged(old, {}, () => false);
    expect([await inherit(attributes), given]).toEqual([[], {}]);
  });

  test('that cannot be kept are reported, for any number of them', async () => {
    const old = Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`user.\x1b${index}`, 'x']));
    expect(await inherit(forged(old, {}, () => true).attributes)).toEqual([
      "has lost the attribute 'user.\\x1b0' (Operation not permitted) and 499 more of the file that it replaces",
    ]);
    const unlisted: ExtendedAttributes = {
      ...forged(old, {}, () => true).attributes,
      list: () => {
        throw systemError(7);
      },
    };
    fs.rmSync(`${directory}/new`);
    expect(await inherit(unlisted)).toEqual([
      'has lost the user attributes of the file that it replaces (Argument list too long)',
    ]);
  });
});
