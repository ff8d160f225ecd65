import * as fs from 'node:fs';
import { dirname, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { ImageReference } from '../../src/image/image-reference.js';
import { type OpenSettings, openImage } from '../../src/image/open-image.js';
import type { SnapshotSelector } from '../../src/qcow2/snapshot-table.js';
import { useScratch } from '../e2e/scratch.js';
import { create } from '../oracle/qemu-img.js';
import { qemuIo } from '../oracle/qemu-io.js';
import { run, runOk } from '../oracle/run.js';
import { longTest } from '../stage.js';
import { type Forged, forgedQcow2 } from './forged-qcow2.js';

const path = useScratch();
const openFiles = () => fs.readdirSync('/proc/self/fd').length;
const PLAIN: OpenSettings = { direct: false, isolated: false };
const ISOLATED: OpenSettings = { direct: false, isolated: true };
const MIB = 2 ** 20;

/** Writes an image, and a raw disk for each name that begins with "raw". @returns its path */
function forge(name: string, forged: Forged = {}): string {
  fs.mkdirSync(dirname(path(name)), { recursive: true });
  fs.writeFileSync(path(name), forgedQcow2(forged));
  return path(name);
}

function raw(name: string): string {
  fs.mkdirSync(dirname(path(name)), { recursive: true });
  fs.writeFileSync(path(name), 'a disk');
  return path(name);
}

/** Opens and closes an image. @returns its files, and the formats of its layers */
async function opened(
  reference: ImageReference,
  settings = PLAIN,
  snapshot?: SnapshotSelector,
): Promise<{ readonly files: readonly string[]; readonly formats: readonly string[] }> {
  const before = openFiles();
  const { source, files, layers } = await openImage(reference, snapshot, settings);
  expect(openFiles()).toBe(before + files.length);
  await source.close();
  expect(openFiles()).toBe(before);
  return { files, formats: layers.map(({ format }) => format) };
}

/** Expects that an image is refused with this error and that nothing stays open. */
async function refused(
  reference: ImageReference,
  facts: { readonly code: string; readonly message: string | RegExp },
  settings = PLAIN,
  snapshot?: SnapshotSelector,
): Promise<void> {
  const before = openFiles();
  const { code, message } = facts;
  const words = typeof message === 'string' ? message : expect.stringMatching(message);
  await expect(openImage(reference, snapshot, settings)).rejects.toThrow(
    expect.objectContaining({ name: 'Qcow2cError', code, message: words }),
  );
  expect(openFiles()).toBe(before);
}

const trusted = (file: string) => ({ file, format: 'qcow2' }) as const;

describe('a backing file’s name', () => {
  /** The names of a chain's files as QEMU opens them. */
  async function chainOfQemu(file: string): Promise<string[]> {
    const json = await runOk('qemu-img', ['info', '--output=json', '--backing-chain', '-f', 'qcow2', file]);
    return (JSON.parse(json) as { filename: string }[]).map(({ filename }) => filename);
  }
  const nextTo = { backingFormat: 'raw' } as const;

  test.each<readonly [string, () => { image: string; base: string }]>([
    [
      'starts at the directory of the image',
      () => ({ base: raw('a/raw-base'), image: forge('a/top', { backing: 'raw-base', ...nextTo }) }),
    ],
    [
      'may go up from there',
      () => {
        raw('a/raw-up');
        const image = forge('a/below/top', { backing: '../raw-up', ...nextTo });
        return { image, base: `${path('a/below')}/../raw-up` };
      },
    ],
    [
      'starts at the directory of the link to the image, not of the image',
      () => {
        forge('images/top', { backing: 'raw-base', ...nextTo });
        raw('images/raw-base');
        const base = raw('links/raw-base');
        fs.symlinkSync('../images/top', path('links/top'));
        return { image: path('links/top'), base };
      },
    ],
    [
      'resolves ".." after a link to a directory as the system does',
      () => {
        forge('elsewhere/place/top', { backing: '../raw-base', ...nextTo });
        raw('elsewhere/raw-base');
        raw('near/raw-base');
        fs.mkdirSync(path('near'), { recursive: true });
        fs.symlinkSync('../elsewhere/place', path('near/link'));
        return { image: path('near/link/top'), base: `${path('near/link')}/../raw-base` };
      },
    ],
    [
      'may be absolute',
      () => {
        const base = raw('far/raw-base');
        return { base, image: forge('abs/top', { backing: base, ...nextTo }) };
      },
    ],
    [
      'may have "file:" before an absolute path',
      () => {
        const base = raw('far/raw-file');
        return { base, image: forge('abs/file', { backing: `file:${base}`, ...nextTo }) };
      },
    ],
    [
      'starts at the working directory after "file:"',
      () => {
        const base = relative(process.cwd(), raw('far/raw-cwd'));
        return { base, image: forge('abs/cwd', { backing: `file:${base}`, ...nextTo }) };
      },
    ],
    [
      'may be 600 bytes long, with any characters',
      () => {
        const name = `d/${'ü'.repeat(100)}/${'line\nbreak '.repeat(15)}/${'x'.repeat(240)}`;
        const base = raw(`long/${name}`);
        expect(Buffer.byteLength(name)).toBeGreaterThan(600);
        return { base, image: forge('long/top', { backing: name, ...nextTo }) };
      },
    ],
    [
      'may have a colon after a slash',
      () => ({
        base: `${dirname(raw('colon/a:raw'))}/./a:raw`,
        image: forge('colon/top', { backing: './a:raw', ...nextTo }),
      }),
    ],
  ])('%s, as in QEMU', async (_, make) => {
    const { image, base } = make();
    expect(await opened(trusted(image))).toEqual({ files: [image, base], formats: ['qcow2', 'raw'] });
    const [, theirs] = await chainOfQemu(image);
    expect(theirs).toBe(base);
  });

  test.each(['vm-2026-11-29T08:00', 'a:b', ':x'])(
    'with a colon in a file’s name is read, unlike in QEMU: %s',
    async (backing) => {
      const base = raw(`dated/${backing}`);
      const image = forge('dated/top', { backing, ...nextTo });
      expect((await opened(trusted(image))).files).toEqual([image, base]);
      const data = relative(process.cwd(), raw('dated-data'));
      const named = `${data}:2026`;
      fs.renameSync(data, named);
      const withData = forge('dated/with-data', { dataFile: named });
      expect((await opened(trusted(withData))).files).toEqual([withData, named]);
    },
  );

  test.each(['nbd://localhost/disk', 'http://host/x.qcow2', 'json:{"driver":"qcow2"}', 'nbd:x', 'a://b'])(
    'that is a protocol is refused: %s',
    async (backing) => {
      const image = forge('protocol', { backing, backingFormat: 'raw' });
      const message = `'${image}' has the backing file '${backing}': `;
      await refused(trusted(image), { code: 'ERR_UNSUPPORTED', message: new RegExp(`^${escaped(message)}`) });
      const overlay = forge('overlay', { backing: 'protocol', backingFormat: 'qcow2' });
      await refused(trusted(overlay), {
        code: 'ERR_UNSUPPORTED',
        message: new RegExp(
          `^Could not open '${escaped(overlay)}': Could not open backing file: ${escaped(message)}`,
        ),
      });
    },
  );

  test('that is empty means no backing file', async () => {
    const image = forge('none', { backing: '' });
    expect((await opened({ file: image }, ISOLATED)).files).toEqual([image]);
  });
});

describe('a backing file’s format', () => {
  test.each(['vmdk', 'qed', 'luks', 'host_device', 'QCOW2'])(
    'other than raw and qcow2 is refused: %s',
    async (format) => {
      const image = forge('other', { backing: raw('raw'), backingFormat: format });
      await refused(trusted(image), {
        code: 'ERR_UNSUPPORTED',
        message: `'${image}' has a backing file in the format '${format}', which qcow2c does not read; convert it with qemu-img first`,
      });
    },
  );

  test('that is not stated is probed: raw disks and images without other files are read', async () => {
    const onRaw = forge('unstated/on-raw', { backing: raw('unstated/raw') });
    expect((await opened(trusted(onRaw))).formats).toEqual(['qcow2', 'raw']);
    forge('unstated/alone');
    const onAlone = forge('unstated/on-alone', { backing: 'alone' });
    expect((await opened(trusted(onAlone))).formats).toEqual(['qcow2', 'qcow2']);
    fs.writeFileSync(path('unstated/vmdk'), 'KDMV and more');
    await refused(trusted(forge('unstated/on-vmdk', { backing: 'vmdk' })), {
      code: 'ERR_UNSUPPORTED',
      message: /looks like a vmdk image.* with 'qemu-img rebase -u -b FILE -F raw OVERLAY'/,
    });
  });

  test.each<readonly [string, Forged, RegExp]>([
    ['a backing file', { backing: 'secret', backingFormat: 'raw' }, /names the backing file 'secret'/],
    ['a data file', { dataFile: 'secret' }, /names the data file 'secret'/],
  ])('that is not stated does not let a qcow2 backing file name %s', async (_, forged, words) => {
    raw('forged/secret');
    const base = forge('forged/base', forged);
    const image = forge('forged/top', { backing: 'base' });
    await refused(trusted(image), { code: 'ERR_UNSUPPORTED', message: words });
    await refused(trusted(image), {
      code: 'ERR_UNSUPPORTED',
      message:
        /'qemu-img rebase -u -b FILE -F FMT OVERLAY' or, for a source, --image-opts with backing\.driver=FMT/,
    });
    // If the caller states the format, the file is opened.
    const backing = { file: base, format: 'qcow2', dataFile: path('forged/secret') } as const;
    const { files } = await opened({
      ...trusted(image),
      backing: forged.dataFile === undefined ? trusted(base) : backing,
    });
    expect(files).toEqual([image, base, path('forged/secret')]);
  });

  test('that a trusted image states applies to the caller’s backing file', async () => {
    forge('stands-in/base', { backing: 'deeper', backingFormat: 'raw' });
    raw('stands-in/deeper');
    const file = forge('stands-in/top', { backing: 'gone', backingFormat: 'qcow2' });
    const backing = { file: path('stands-in/base') };
    expect((await opened({ ...trusted(file), backing })).formats).toEqual(['qcow2', 'qcow2', 'raw']);
    // A forged header must not make another file trusted.
    await refused({ file, backing }, { code: 'ERR_UNSUPPORTED', message: /its format was not stated/ });
    const asRaw = { ...backing, format: 'raw' } as const;
    expect((await opened({ ...trusted(file), backing: asRaw })).formats).toEqual(['qcow2', 'raw']);
  });
});

describe('an image whose format was probed', () => {
  test.each<readonly [string, Forged]>([
    ['the backing file', { backing: 'secret' }],
    ['the backing file', { version: 2, backing: 'secret' }],
    ['the backing file', { backing: 'secret', backingFormat: 'raw' }],
    ['the data file', { dataFile: 'secret' }],
  ])('may not name %s, and the error says how to allow it', async (what, forged) => {
    const secret = raw('guessed/secret');
    const named = {
      ...forged,
      ...(forged.backing && { backing: secret }),
      ...(forged.dataFile && { dataFile: secret }),
    };
    const file = forge('guessed/disk', named);
    const words =
      `'${file}' looks like a qcow2 image and names ${what} '${secret}', but its format was not stated: a raw ` +
      'disk can hold a forged header that names any file; state its format with ';
    for (const [formatOption, option] of [
      [undefined, '-f FMT'],
      ['-F ', '-F FMT'],
      ['backing.driver=', 'backing.driver=FMT'],
    ] as const) {
      const message = `${words}${option}: raw for a raw disk, qcow2 if you trust the image`;
      await refused({ file, formatOption }, { code: 'ERR_UNSUPPORTED', message });
    }
    expect(await opened({ file, format: 'raw' })).toEqual({ files: [file], formats: ['raw'] });
    expect((await opened({ file, format: 'qcow2' })).files).toEqual([file, secret]);
    for (const format of [undefined, 'qcow2'] as const) {
      const message = `'${file}' names ${what} '${secret}', which --isolated refuses`;
      await refused({ file, format }, { code: 'ERR_UNSUPPORTED', message }, ISOLATED);
    }
    expect((await opened({ file, format: 'raw' }, ISOLATED)).files).toEqual([file]);
  });

  test('may have no other files, or those that the caller names', async () => {
    const file = forge('own/alone');
    expect((await opened({ file }, ISOLATED)).formats).toEqual(['qcow2']);
    const overlay = forge('own/overlay', { backing: '/etc/shadow', dataFile: '/etc/passwd' });
    const [base, data] = [raw('own/raw-base'), raw('own/data')];
    const named = { file: overlay, backing: { file: base }, dataFile: data };
    for (const settings of [PLAIN, ISOLATED]) {
      expect((await opened(named, settings)).files).toEqual([overlay, base, data]);
      expect((await opened({ ...named, backing: 'none' }, settings)).files).toEqual([overlay, data]);
    }
    // Overriding one of the two is not enough.
    await refused({ file: overlay, dataFile: data }, { code: 'ERR_UNSUPPORTED', message: /'\/etc\/shadow'/ });
    await refused(
      { file: overlay, backing: 'none' },
      { code: 'ERR_UNSUPPORTED', message: /'\/etc\/passwd'/ },
    );
  });

  test('may not refer to more files than the caller names', async () => {
    const secret = raw('further/secret');
    const middle = forge('further/middle', { backing: secret, backingFormat: 'raw' });
    const file = forge('further/top', { backing: 'gone', backingFormat: 'raw' });
    const message = /^Could not open '.*top': Could not open backing file: '.*middle' names the backing file/;
    const backing = { file: middle, format: 'qcow2' } as const;
    await refused({ ...trusted(file), backing }, { code: 'ERR_UNSUPPORTED', message }, ISOLATED);
    expect((await opened({ ...trusted(file), backing })).files).toEqual([file, middle, secret]);
    const closed = { ...backing, backing: 'none' } as const;
    expect((await opened({ ...trusted(file), backing: closed }, ISOLATED)).files).toEqual([file, middle]);
  });
});

describe('an external data file', () => {
  test('is found from the working directory, as in QEMU', async () => {
    const data = relative(process.cwd(), raw('data/file'));
    const image = forge('data/top', { dataFile: data });
    expect((await opened(trusted(image))).files).toEqual([image, data]);
    forge('data/beside', { dataFile: 'file' });
    await refused(trusted(path('data/beside')), {
      code: 'ERR_IO',
      message: `Could not open '${path('data/beside')}': Could not open data file: Could not open 'file': No such file or directory`,
    });
  });

  test('with the name of a protocol, or without a name in the image, is refused', async () => {
    const protocol = forge('data/protocol', { dataFile: 'nbd://host/x' });
    await refused(trusted(protocol), {
      code: 'ERR_UNSUPPORTED',
      message: /has the data file 'nbd:\/\/host\/x'/,
    });
    const nameless = forge('data/nameless', { hasDataFile: true });
    await refused(
      { file: nameless },
      { code: 'ERR_CORRUPT', message: /does not name it; give the name with --image-opts/ },
    );
    const data = raw('data/given');
    expect((await opened({ file: nameless, dataFile: data })).files).toEqual([nameless, data]);
  });

  test('cannot be given to an image without one', async () => {
    const [image, disk, data] = [forge('data/without'), raw('data/raw'), raw('data/extra')];
    await refused(
      { file: image, dataFile: data },
      {
        code: 'ERR_USAGE',
        message: `Could not open '${image}': 'data-file' can only be set for images with an external data file`,
      },
    );
    await refused(
      { file: disk, dataFile: data },
      {
        code: 'ERR_USAGE',
        message: `Could not open '${disk}': Block format 'raw' does not support the option 'data-file'`,
      },
    );
    await refused(
      { file: disk, backing: { file: data } },
      { code: 'ERR_USAGE', message: /the option 'backing'$/ },
    );
  });
});

describe('a chain', () => {
  /** Images that name one another in this order; the last name may be any existing file. */
  function chainOf(directory: string, names: readonly string[]): string[] {
    return names.map((name, index) => {
      const backing = names[index + 1];
      return forge(`${directory}/${name}`, backing === undefined ? {} : { backing, backingFormat: 'qcow2' });
    });
  }

  test.each([1, 2, 3])('that forms a loop of %i is an error', async (length) => {
    for (let index = 0; index < length; index += 1) {
      forge(`loop-${length}/${index}`, { backing: `${(index + 1) % length}`, backingFormat: 'qcow2' });
    }
    const first = path(`loop-${length}/0`);
    const words = `The backing files of '${first}' form a loop: '${first}' is its own backing file`;
    await refused(trusted(first), { code: 'ERR_CORRUPT', message: new RegExp(`${escaped(words)}$`) });
    // A chain that leads into the loop from outside.
    const outside = forge(`loop-${length}/outside`, { backing: '0', backingFormat: 'qcow2' });
    await refused(trusted(outside), { code: 'ERR_CORRUPT', message: /form a loop: '[^']*\/0' is its own/ });
  });

  test('that forms a loop through links and other spellings of a name is an error', async () => {
    fs.mkdirSync(path('links-loop/below'), { recursive: true });
    for (const name of ['symbolic', 'hard', 'below/../self']) {
      const self = forge('links-loop/self', { backing: name, backingFormat: 'qcow2' });
      fs.rmSync(path('links-loop/symbolic'), { force: true });
      fs.rmSync(path('links-loop/hard'), { force: true });
      fs.symlinkSync('self', path('links-loop/symbolic'));
      fs.linkSync(self, path('links-loop/hard'));
      await refused(trusted(self), { code: 'ERR_CORRUPT', message: /form a loop/ });
    }
    // A raw disk that is its own overlay’s file.
    const self = forge('links-loop/raw', { backing: 'raw', backingFormat: 'raw' });
    await refused(trusted(self), { code: 'ERR_CORRUPT', message: /form a loop/ });
  });

  longTest('may be 300 images deep', async () => {
    const names = Array.from({ length: 300 }, (_, index) => `${index}`);
    const files = chainOf('deep', names);
    const { source, files: found, layers } = await openImage(trusted(files[0]!), undefined, PLAIN);
    expect(found).toEqual(files);
    expect(layers.length).toBe(300);
    expect(await source.map(0)).toEqual({ kind: 'zero', length: MIB });
    await source.close();
    fs.rmSync(files.at(-1)!);
    await refused(trusted(files[0]!), {
      code: 'ERR_IO',
      message: /Could not open '[^']*\/299': No such file or directory$/,
    });
  });

  test('with a missing file is an error that names the images above it, as in qemu-img', async () => {
    for (const depth of [2, 3, 4]) {
      const names = Array.from({ length: depth }, (_, index) => `${index}`);
      const [top = '', ...below] = chainOf(`missing-${depth}`, names);
      const missing = below.at(-1)!;
      fs.rmSync(missing);
      const middle = below.slice(0, -1).map((name) => `Could not open its backing file '${name}': `);
      const start = `Could not open '${top}': `;
      const end = `Could not open backing file: Could not open '${missing}': No such file or directory`;
      await refused(trusted(top), { code: 'ERR_IO', message: `${start}${middle.join('')}${end}` });
      const { stderr } = await run('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', top, path('out')]);
      expect(stderr.startsWith(`qemu-img: ${start}`)).toBe(true);
      expect(stderr.endsWith(`${end}\n`)).toBe(true);
    }
  });

  test('with a file of another type is refused', async () => {
    const directory = path('something/else');
    fs.mkdirSync(directory, { recursive: true });
    await runOk('mkfifo', [path('something/pipe')]);
    for (const [name, code, words] of [
      ['else', 'ERR_UNSUPPORTED', /it is a directory$/],
      ['pipe', 'ERR_UNSUPPORTED', /it is a pipe; save its output to a file first$/],
      ['/dev/zero', 'ERR_UNSUPPORTED', /it is a character device$/],
      ['top/below', 'ERR_IO', /Not a directory$/],
    ] as const) {
      const top = forge('something/top', { backing: name, backingFormat: 'raw' });
      await refused(trusted(top), { code, message: words });
    }
    raw('something/raw');
    const top = forge('something/top', { backing: 'raw', backingFormat: 'qcow2' });
    await refused(trusted(top), {
      code: 'ERR_FORMAT',
      message: `Could not open '${top}': Could not open backing file: '${path('something/raw')}' is not a qcow2 image`,
    });
  });
});

describe('an encrypted image', () => {
  test.each([
    ['AES', 1],
    ['LUKS', 2],
  ] as const)('is refused with its method: %s, also as a backing file', async (name, cryptMethod) => {
    const file = forge('encrypted/base', { cryptMethod });
    const message = new RegExp(
      `'${escaped(file)}' is encrypted \\(${name}\\), which qcow2c does not read; decrypt it first`,
    );
    await refused({ file }, { code: 'ERR_UNSUPPORTED', message });
    await refused(trusted(file), { code: 'ERR_UNSUPPORTED', message });
    const overlay = forge('encrypted/overlay', { backing: 'base', backingFormat: 'qcow2' });
    await refused(trusted(overlay), { code: 'ERR_UNSUPPORTED', message });
  });

  test('of qemu-img is refused with its method', async () => {
    const file = path('aes.qcow2');
    const secret = ['--object', 'secret,id=key,data=geheim'];
    const options = ['-o', 'encrypt.format=aes,encrypt.key-secret=key'];
    await runOk('qemu-img', ['create', '-q', '-f', 'qcow2', ...secret, ...options, file, '1M']);
    await refused({ file }, { code: 'ERR_UNSUPPORTED', message: /is encrypted \(AES\)/ });
  });

  test('that is not a qcow2 image is refused with its name', async () => {
    const file = raw('disk.luks');
    fs.writeFileSync(file, 'LUKS\xba\xbe\0\x01', 'latin1');
    await refused({ file }, { code: 'ERR_UNSUPPORTED', message: /looks like a luks image/ });
  });
});

describe('a snapshot', () => {
  test('is read with the image’s backing file and the image’s present size', async () => {
    const [base, file] = [path('snapshot-base.qcow2'), path('snapshot.qcow2')];
    await create(base, 4 * MIB);
    await qemuIo(base, ['write -P 1 0 4M']);
    await runOk('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', file]);
    await qemuIo(file, ['write -P 2 1M 1M']);
    await runOk('qemu-img', ['snapshot', '-q', '-c', 'first', file]);
    await qemuIo(file, ['write -P 3 2M 1M']);
    await runOk('qemu-img', ['resize', '-q', file, '6M']);
    expect((await opened(trusted(file), PLAIN, { name: 'first' })).files).toEqual([file, base]);
    const { source, layers } = await openImage(trusted(file), { idOrName: 'first' }, PLAIN);
    const [top] = layers;
    expect(source.size).toBe(6 * MIB);
    expect(await source.map(MIB)).toMatchObject({ kind: 'data', descriptor: top.qcow2?.file.descriptor });
    expect(source.fileOf(((await source.map(2 * MIB)) as { descriptor: number }).descriptor)).toBe(base);
    expect(await source.map(4 * MIB)).toMatchObject({ kind: 'zero', length: 2 * MIB });
    await source.close();
    await refused(trusted(file), { code: 'ERR_USAGE', message: /Can't find snapshot 'second'/ }, PLAIN, {
      idOrName: 'second',
    });
    await refused({ file }, { code: 'ERR_UNSUPPORTED', message: /names the backing file/ }, PLAIN, {
      idOrName: 'first',
    });
  });

  test('that does not exist in an image with a data file is refused', async () => {
    const file = forge('snapshot-data', { dataFile: raw('snapshot-data-file') });
    const message = /Can't find snapshot 'x'/;
    await refused(trusted(file), { code: 'ERR_USAGE', message }, PLAIN, { idOrName: 'x' });
  });

  test('of a raw image is refused', async () => {
    const file = raw('raw-with-snapshot');
    for (const format of [undefined, 'raw'] as const) {
      await refused(
        { file, format },
        {
          code: 'ERR_USAGE',
          message: `Failed to load snapshot: '${file}' is a raw image, which has no snapshots`,
        },
        PLAIN,
        { idOrName: 'x' },
      );
    }
  });
});

describe('an opened image', () => {
  test('reports its files, its read alignment and the compression types of its layers', async () => {
    const [base, middle, top] = [path('facts-base'), path('facts-middle'), path('facts-top')];
    fs.writeFileSync(base, Buffer.alloc(MIB, 1));
    await create(middle, MIB, ['-b', base, '-F', 'raw', '-o', 'compression_type=zstd']);
    await create(top, MIB, ['-b', middle, '-F', 'qcow2']);
    const image = await openImage(trusted(top), undefined, { direct: true, isolated: false });
    expect(image.files).toEqual([top, middle, base]);
    expect([...image.compressionTypes].sort()).toEqual(['zlib', 'zstd']);
    expect(image.readAlignment).toBe(4096);
    expect([image.source.name, image.source.size]).toEqual([top, MIB]);
    expect(new Set(image.layers.map(({ identity }) => identity)).size).toBe(3);
    fs.utimesSync(base, 1, 1);
    await expect(image.source.refuseChanges()).rejects.toThrow(
      expect.objectContaining({ code: 'ERR_SOURCE_CHANGED', file: base }),
    );
    await image.source.close();
    const only = await openImage({ file: base }, undefined, PLAIN);
    expect([only.compressionTypes.size, only.readAlignment]).toEqual([0, 1]);
    await only.source.close();
  });

  test('is as named, unless the caller replaces a part of it', async () => {
    const base = raw('seen/raw');
    const data = raw('seen/data');
    const file = forge('seen/top', { backing: 'raw', backingFormat: 'raw', dataFile: data });
    const asNamed = async (reference: ImageReference) => {
      const { source, layers } = await openImage(reference, undefined, PLAIN);
      await source.close();
      return layers.map((layer) => layer.asNamed);
    };
    expect(await asNamed(trusted(file))).toEqual([true, true]);
    expect(await asNamed({ ...trusted(file), backing: { file: base } })).toEqual([false, true]);
    expect(await asNamed({ ...trusted(file), backing: 'none' })).toEqual([false]);
    expect(await asNamed({ ...trusted(file), dataFile: data })).toEqual([false, true]);
    fs.writeFileSync(base, Buffer.alloc(1024));
    const part = { file: base, format: 'raw', offset: 512 } as const;
    expect(await asNamed({ ...trusted(file), backing: part })).toEqual([false, false]);
  });

  test('is refused if a part of it does not exist', async () => {
    const file = raw('part');
    await refused({ file, format: 'raw', offset: 513 }, { code: 'ERR_USAGE', message: /not inside/ });
    await refused(
      { file: path('nowhere') },
      {
        code: 'ERR_IO',
        message: `Could not open '${path('nowhere')}': No such file or directory`,
      },
    );
  });
});

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
