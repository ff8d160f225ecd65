/** The target on a real file system: complete under its name, or absent. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { openTarget } from '../../src/storage/open-target.js';
import { commitInOrder, type Target } from '../../src/storage/target.js';
import { alignedMemory, DIRECT_ALIGNMENT } from '../../src/system/aligned-memory.js';
import { useScratch } from '../e2e/scratch.js';
import { useOtherUser } from './other-user.js';
import { expectSameBytes, payload } from './recording-storage.js';

const scratch = useScratch();
/** A directory for each test, and the target in it. */
let directory = '';
let path = '';

beforeEach(({ task }) => {
  directory = scratch(task.id);
  fs.mkdirSync(directory);
  path = join(directory, 'image.qcow2');
});

function block(seed = 1): Uint8Array {
  const memory = alignedMemory(DIRECT_ALIGNMENT).subarray(0, DIRECT_ALIGNMENT);
  memory.set(payload(DIRECT_ALIGNMENT, seed));
  return memory;
}

const names = () => fs.readdirSync(directory).sort();
const modeOf = (name: string) => fs.statSync(name).mode & 0o7777;
const temporaryName = () => names().find((name) => name.endsWith('.tmp'))!;

/** Writes a block and commits 512 bytes of it. */
async function complete(target: Target, seed = 1): Promise<void> {
  await target.file.write(0, [block(seed)]);
  await target.commit(512);
}

describe('a new target', () => {
  test('has a temporary name in its directory until it is complete', async () => {
    const target = await openTarget(path, 'none', false);
    await target.file.write(0, [block()]);
    expect(names()).toEqual(['.image.qcow2.qcow2c.tmp']);
    expect(target).toMatchObject({ kind: 'new', existingSize: 0, file: { name: path } });
    await target.commit(512);
    expect(names()).toEqual(['image.qcow2']);
    expectSameBytes(fs.readFileSync(path), payload(512));
    expect(modeOf(path)).toBe(0o644 & ~process.umask());
  });

  test('leaves no file when it is discarded', async () => {
    const target = await openTarget(path, 'none', false);
    await target.file.write(0, [block()]);
    await target.discard();
    await target.discard();
    expect(names()).toEqual([]);
  });

  test('stays after a discard that follows its commit', async () => {
    const target = await openTarget(path, 'none', false);
    await complete(target);
    await target.discard();
    expect(names()).toEqual(['image.qcow2']);
  });

  test('is refused while another run makes the same target', async () => {
    const first = await openTarget(path, 'none', false);
    await expect(openTarget(path, 'none', false)).rejects.toMatchObject({
      code: 'ERR_IN_USE',
      message: `'${path}' is being written by another run (wait until it has ended)`,
    });
    await complete(first, 1);
    await complete(await openTarget(path, 'none', false), 2);
    await first.discard();
    expect(names()).toEqual(['image.qcow2']);
    expectSameBytes(fs.readFileSync(path), payload(512, 2));
  });

  test('goes to one of many runs that start at once', async () => {
    const attempts = await Promise.allSettled(
      Array.from({ length: 8 }, () => openTarget(path, 'none', false)),
    );
    const targets = attempts.flatMap((attempt) => (attempt.status === 'fulfilled' ? [attempt.value] : []));
    expect(targets).toHaveLength(1);
    for (const attempt of attempts) {
      if (attempt.status === 'rejected') expect(attempt.reason).toMatchObject({ code: 'ERR_IN_USE' });
    }
    for (const target of targets) await complete(target);
    expect(names()).toEqual(['image.qcow2']);
  });

  test('replaces the leftover of a killed run', async () => {
    fs.writeFileSync(join(directory, '.image.qcow2.qcow2c.tmp'), 'half an image');
    await complete(await openTarget(path, 'none', false));
    expect(names()).toEqual(['image.qcow2']);
    expectSameBytes(fs.readFileSync(path), payload(512));
  });

  test('never follows a link under the name of its temporary file', async () => {
    const elsewhere = join(directory, 'elsewhere');
    fs.writeFileSync(elsewhere, 'precious');
    fs.symlinkSync(elsewhere, join(directory, '.image.qcow2.qcow2c.tmp'));
    await expect(openTarget(path, 'none', false)).rejects.toMatchObject({
      code: 'ERR_IO',
      systemCode: 'ELOOP',
    });
    expect(fs.readFileSync(elsewhere, 'utf8')).toBe('precious');
  });

  test('in a missing directory fails before anything is done', async () => {
    await expect(openTarget(join(directory, 'no', 'image'), 'none', false)).rejects.toMatchObject({
      code: 'ERR_IO',
      systemCode: 'ENOENT',
      message: `Could not create '${directory}/no/image': No such file or directory`,
    });
  });

  test.each([
    ['', 'No such file or directory'],
    ['image/', 'Is a directory'],
  ])('cannot be called %j, and fails at once', async (name, reason) => {
    const wanted = name === '' ? '' : join(directory, name);
    await expect(openTarget(wanted, 'none', false)).rejects.toMatchObject({
      code: 'ERR_IO',
      message: `Could not create '${wanted}': ${reason}`,
    });
    expect(names()).toEqual([]);
  });

  test.each([
    ['255 bytes', 'x'.repeat(255)],
    ['255 bytes of three each', '€'.repeat(85)],
    ['252 bytes of four each', '😀'.repeat(63)],
    ['a cut inside a character', `a${'€'.repeat(80)}`],
    ['a name that begins with a dash', '-rf'],
    ['control characters', 'a\nb\u001b[2J'],
  ])('may have a long or strange name: %s', async (_, name) => {
    path = join(directory, name);
    const target = await openTarget(path, 'none', false);
    expect(names()).toHaveLength(1);
    expect(Buffer.byteLength(temporaryName())).toBeLessThanOrEqual(255);
    await complete(target);
    expect(names()).toEqual([name]);
  });

  test('with a name too long for the file system fails at once', async () => {
    await expect(openTarget(join(directory, 'x'.repeat(256)), 'none', false)).rejects.toMatchObject({
      code: 'ERR_IO',
      systemCode: 'ENAMETOOLONG',
    });
  });
});

describe('a target that replaces a file', () => {
  beforeEach(() => fs.writeFileSync(path, 'the old image'));

  test('leaves the old file unchanged until it is complete, and when it is discarded', async () => {
    const discarded = await openTarget(path, 'none', false);
    await discarded.file.write(0, [block()]);
    expect(fs.readFileSync(path, 'utf8')).toBe('the old image');
    await discarded.discard();
    expect(names()).toEqual(['image.qcow2']);
    expect(fs.readFileSync(path, 'utf8')).toBe('the old image');
    await complete(await openTarget(path, 'none', false));
    expect(names()).toEqual(['image.qcow2']);
    expectSameBytes(fs.readFileSync(path), payload(512));
  });

  test.each([
    ['600', 0o600],
    ['640', 0o640],
    ['666', 0o666],
    ['755', 0o755],
  ])('keeps mode %s, from the first byte on', async (_, mode) => {
    fs.chmodSync(path, mode);
    const target = await openTarget(path, 'none', false);
    expect(modeOf(join(directory, temporaryName()))).toBe(mode);
    await complete(target);
    expect(modeOf(path)).toBe(mode);
  });

  test('keeps the owner and the group if permitted', async () => {
    const [uid, gid] =
      process.geteuid?.() === 0 ? [12_345, 23_456] : [fs.statSync(path).uid, fs.statSync(path).gid];
    fs.chownSync(path, uid, gid);
    await complete(await openTarget(path, 'none', false));
    expect(fs.statSync(path)).toMatchObject({ uid, gid });
  });

  test('replaces the file that a symbolic link points to, and the link stays', async () => {
    const elsewhere = join(directory, 'elsewhere');
    fs.mkdirSync(elsewhere);
    fs.renameSync(path, join(elsewhere, 'real'));
    fs.symlinkSync('elsewhere/real', path);
    const target = await openTarget(path, 'none', false);
    expect(fs.readdirSync(elsewhere)).toHaveLength(2);
    await complete(target);
    expect(fs.readlinkSync(path)).toBe('elsewhere/real');
    expect(fs.readdirSync(elsewhere)).toEqual(['real']);
    expectSameBytes(fs.readFileSync(join(elsewhere, 'real')), payload(512));
  });

  test('reports that it cannot be renamed, and leaves no file of its own', async () => {
    const target = await openTarget(path, 'none', false);
    await target.file.write(0, [block()]);
    fs.rmSync(path);
    fs.mkdirSync(path);
    await expect(target.commit(512)).rejects.toMatchObject({
      code: 'ERR_IO',
      systemCode: 'EISDIR',
      file: path,
      message: `Could not rename the finished image to '${path}': Is a directory`,
    });
    expect(names()).toEqual(['image.qcow2']);
    await expect(target.file.sync()).rejects.toThrow();
  });
});

describe('a symbolic link to a missing file', () => {
  test.each(['absolute', 'relative'])('%s, gets its file and stays', async (kind) => {
    fs.mkdirSync(join(directory, 'elsewhere'));
    const leadsTo = kind === 'absolute' ? join(directory, 'elsewhere', 'new') : 'elsewhere/new';
    fs.symlinkSync('link', path);
    fs.symlinkSync(leadsTo, join(directory, 'link'));
    await complete(await openTarget(path, 'none', false));
    expect(names()).toEqual(['elsewhere', 'image.qcow2', 'link']);
    expect(fs.readlinkSync(path)).toBe('link');
    expectSameBytes(fs.readFileSync(join(directory, 'elsewhere', 'new')), payload(512));
  });

  test('in a circle is refused', async () => {
    fs.symlinkSync('image.qcow2', path);
    await expect(openTarget(path, 'none', false)).rejects.toMatchObject({ systemCode: 'ELOOP' });
  });
});

describe('a target in place', () => {
  test('keeps the file and its name, and gets the given length', async () => {
    fs.writeFileSync(path, payload(10_000, 5));
    const { ino } = fs.statSync(path);
    const target = await openTarget(path, 'none', true);
    expect(target).toMatchObject({ kind: 'existing', existingSize: 10_000 });
    expect(names()).toEqual(['image.qcow2']);
    await target.file.write(0, [block()]);
    await target.commit(5120);
    expect(fs.statSync(path)).toMatchObject({ ino, size: 5120 });
    expectSameBytes(
      fs.readFileSync(path),
      new Uint8Array([...payload(4096), ...payload(10_000, 5).subarray(4096, 5120)]),
    );
  });

  test('gets its old length back when it is discarded', async () => {
    fs.writeFileSync(path, payload(4096, 5));
    const target = await openTarget(path, 'none', true);
    await target.file.write(8192, [block()]);
    await target.discard();
    expectSameBytes(fs.readFileSync(path), payload(4096, 5));
  });

  test('is unchanged, with its times, when it is discarded before a write', async () => {
    fs.writeFileSync(path, payload(4096, 5));
    const before = fs.statSync(path, { bigint: true });
    await (await openTarget(path, 'none', true)).discard();
    const { size, mtimeNs, ctimeNs } = fs.statSync(path, { bigint: true });
    expect({ size, mtimeNs, ctimeNs }).toEqual({
      size: before.size,
      mtimeNs: before.mtimeNs,
      ctimeNs: before.ctimeNs,
    });
  });

  test('may keep its length, or become longer', async () => {
    fs.writeFileSync(path, payload(10_000, 5));
    const same = await openTarget(path, 'none', true);
    // The padding of the last block extends past the end until the commit.
    await same.file.write(8192, [block()]);
    await same.commit(same.existingSize);
    expect(fs.statSync(path).size).toBe(10_000);
    await (await openTarget(path, 'none', true)).commit(10_240);
    expect(fs.statSync(path).size).toBe(10_240);
  });

  test('must exist', async () => {
    await expect(openTarget(path, 'none', true)).rejects.toMatchObject({
      code: 'ERR_IO',
      systemCode: 'ENOENT',
      message: `Could not open '${path}': No such file or directory`,
    });
    expect(names()).toEqual([]);
  });
});

describe('two targets that belong together', () => {
  const dataPath = () => join(directory, 'disk.data');

  /** Opens both and writes a block into each. */
  async function opened() {
    const data = await openTarget(dataPath(), 'none', false);
    const image = await openTarget(path, 'none', false);
    await data.file.write(0, [block(1)]);
    await image.file.write(0, [block(2)]);
    return {
      data,
      image,
      outputs: [
        { target: data, length: 1024 },
        { target: image, length: 512 },
      ],
    };
  }

  beforeEach(() => {
    fs.writeFileSync(dataPath(), 'the old data');
    fs.writeFileSync(path, 'the old image');
  });

  function expectOldFiles(): void {
    expect(names()).toEqual(['disk.data', 'image.qcow2']);
    expect(fs.readFileSync(dataPath(), 'utf8')).toBe('the old data');
    expect(fs.readFileSync(path, 'utf8')).toBe('the old image');
  }

  test('both are renamed', async () => {
    await commitInOrder((await opened()).outputs);
    expect(names()).toEqual(['disk.data', 'image.qcow2']);
    expectSameBytes(fs.readFileSync(dataPath()), payload(1024, 1));
    expectSameBytes(fs.readFileSync(path), payload(512, 2));
  });

  test('get no name before the other is complete', async () => {
    const { data, outputs } = await opened();
    await data.seal(1024);
    expect(fs.readFileSync(dataPath(), 'utf8')).toBe('the old data');
    await commitInOrder(outputs);
    expect(names()).toEqual(['disk.data', 'image.qcow2']);
  });

  test('leave both old files when the second cannot be completed', async () => {
    const { image, outputs } = await opened();
    await image.file.close();
    await expect(commitInOrder(outputs)).rejects.toMatchObject({ code: 'ERR_IO', file: path });
    expectOldFiles();
  });

  test('leave both old files when the first cannot be completed', async () => {
    const { data, outputs } = await opened();
    await data.file.close();
    await expect(commitInOrder(outputs)).rejects.toMatchObject({ code: 'ERR_IO', file: dataPath() });
    expectOldFiles();
  });

  test('leave the image unchanged when the data file cannot be renamed', async () => {
    const { outputs } = await opened();
    fs.rmSync(dataPath());
    fs.mkdirSync(dataPath());
    await expect(commitInOrder(outputs)).rejects.toMatchObject({ systemCode: 'EISDIR' });
    expect(names()).toEqual(['disk.data', 'image.qcow2']);
    expect(fs.readFileSync(path, 'utf8')).toBe('the old image');
  });

  test('keep the data file when the image cannot be renamed after it', async () => {
    const { outputs } = await opened();
    fs.rmSync(path);
    fs.mkdirSync(path);
    await expect(commitInOrder(outputs)).rejects.toMatchObject({ systemCode: 'EISDIR', file: path });
    expect(names()).toEqual(['disk.data', 'image.qcow2']);
    expectSameBytes(fs.readFileSync(dataPath()), payload(1024, 1));
  });

  test('one of them may be an existing file, and is not truncated when the other fails after it', async () => {
    fs.writeFileSync(dataPath(), payload(512, 7));
    const data = await openTarget(dataPath(), 'none', true);
    const image = await openTarget(path, 'none', false);
    await data.file.write(0, [block(1)]);
    fs.rmSync(path);
    fs.mkdirSync(path);
    const outputs = [
      { target: data, length: 4096 },
      { target: image, length: 512 },
    ];
    await expect(commitInOrder(outputs)).rejects.toMatchObject({ systemCode: 'EISDIR' });
    expectSameBytes(fs.readFileSync(dataPath()), payload(4096, 1));
  });
});

describe.each([false, true])('a file that is not regular is refused (in place: %s)', (inPlace) => {
  test('a directory', async () => {
    await expect(openTarget(directory, 'none', inPlace)).rejects.toMatchObject({
      code: 'ERR_IO',
      message: `Could not open '${directory}': Is a directory`,
    });
    expect(
      fs.readdirSync(dirname(directory)).filter((name) => name.includes(`${basename(directory)}.`)),
    ).toEqual([]);
  });

  test('a FIFO, without waiting for a reader', async () => {
    execFileSync('mkfifo', [path]);
    await expect(openTarget(path, 'none', inPlace)).rejects.toMatchObject({
      code: 'ERR_UNSUPPORTED',
      message: `Cannot write to '${path}': it is neither a regular file nor a block device`,
    });
    expect(names()).toEqual(['image.qcow2']);
  });

  test('a character device', async () => {
    await expect(openTarget('/dev/null', 'none', inPlace)).rejects.toMatchObject({ code: 'ERR_UNSUPPORTED' });
  });
});

describe('without the right to write', () => {
  const asOtherUser = useOtherUser();
  const denied = { code: 'ERR_IO', systemCode: 'EACCES' };

  beforeEach(({ task }) => {
    directory = asOtherUser.directory(task.id);
    path = join(directory, 'image.qcow2');
  });

  test('to the directory no target can be created, and the message names it', async () => {
    fs.chmodSync(directory, 0o555);
    expect(await asOtherUser.complete(path, false)).toMatchObject({
      ...denied,
      file: path,
      message: `Could not create '${path}': Permission denied`,
    });
    expect(names()).toEqual([]);
  });

  test('to the directory a file cannot be replaced, and stays', async () => {
    fs.writeFileSync(path, 'the old image');
    fs.chmodSync(path, 0o666);
    fs.chmodSync(directory, 0o555);
    expect(await asOtherUser.complete(path, false)).toMatchObject({
      ...denied,
      file: path,
      message:
        `Could not create '${path}', which can be written to but not replaced ` +
        '(with -n it is written in place): Permission denied',
    });
    expect(fs.readFileSync(path, 'utf8')).toBe('the old image');
    expect(await asOtherUser.complete(path, true)).toBe('done');
  });

  test('in a sticky directory the file of another user cannot be replaced', async () => {
    fs.writeFileSync(path, 'the old image');
    fs.chmodSync(path, 0o666);
    fs.chmodSync(directory, 0o1777);
    const isRoot = process.geteuid?.() === 0;
    const message =
      `Cannot replace '${path}', which belongs to another user and is in a sticky directory such as /tmp ` +
      '(with -n it is written in place): Operation not permitted';
    const refusal = { code: 'ERR_IO', systemCode: 'EPERM', file: path, message };
    const answer = await asOtherUser.complete(path, false);
    if (isRoot) expect(answer).toMatchObject(refusal);
    else expect(answer).toBe('done');
    expect(names()).toEqual(['image.qcow2']);
    // Its owner may.
    await complete(await openTarget(path, 'none', false));
    expect(names()).toEqual(['image.qcow2']);
  });

  test.each([false, true])(
    'to the file it is refused, for any owner of the directory (in place: %s)',
    async (inPlace) => {
      fs.writeFileSync(path, 'the old image');
      fs.chmodSync(path, 0o444);
      fs.chmodSync(directory, 0o777);
      expect(await asOtherUser.complete(path, inPlace)).toMatchObject({
        ...denied,
        message: `Could not open '${path}': Permission denied`,
      });
      expect(names()).toEqual(['image.qcow2']);
      expect(fs.readFileSync(path, 'utf8')).toBe('the old image');
    },
  );

  test('a file whose owner cannot be kept is replaced', async () => {
    fs.writeFileSync(path, 'the old image');
    // The new file does not become setuid for another user.
    fs.chmodSync(path, 0o4666);
    fs.chmodSync(directory, 0o777);
    expect(await asOtherUser.complete(path, false)).toBe('done');
    expect(modeOf(path)).toBe(process.geteuid?.() === 0 ? 0o666 : 0o4666);
    expect(fs.statSync(path).uid).toBe(asOtherUser.uid);
  });

  test('another group gets the rights of others', async () => {
    // Without root, a file cannot be given to a group without the user as a member: then the group stays, with its
    // rights.
    const isRoot = process.geteuid?.() === 0;
    fs.chmodSync(directory, 0o777);
    for (const [before, after] of [
      // Members of the old group become others.
      [0o604, 0o600],
      [0o4664, 0o4644],
      [0o2640, 0o600],
    ] as const) {
      fs.writeFileSync(path, 'the old image');
      if (isRoot) fs.chownSync(path, asOtherUser.uid, 0);
      fs.chmodSync(path, before);
      expect(await asOtherUser.complete(path, false)).toBe('done');
      expect([before, modeOf(path)]).toEqual([before, isRoot ? after : before]);
      fs.rmSync(path);
    }
  });
});
