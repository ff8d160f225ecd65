import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sourceFile, storedFile, targetFile } from '../../src/cli/options/file-names.js';
import { Qcow2cError } from '../../src/errors.js';

function failure(attempt: () => unknown): Qcow2cError {
  try {
    attempt();
  } catch (error) {
    if (error instanceof Qcow2cError) return error;
    throw error;
  }
  throw new Error('was not refused');
}

describe('plain names', () => {
  test.each([
    'a',
    './a',
    '/a',
    './a:b',
    '/a:b',
    'a/b:c',
    '/dev/disk/by-path/pci-0:1',
    '.',
    ' ',
    'a=b,c',
    '//x',
  ])('%j is a name', (name) => {
    expect([sourceFile(name), targetFile(name), storedFile(name)]).toEqual([name, name, name]);
  });

  test.each([
    'vm-2026-11-29T08:00.qcow2',
    'a:b',
    ':b',
    'a b:c',
    'constructor:x',
    '2026-11-29T08:00:00+01:00',
    'HTTP://host',
    '1://x',
    'nbd.img:x',
    'Nbd:x',
  ])('%j has a colon but no protocol; it is stored so that QEMU agrees', (name) => {
    expect([sourceFile(name), targetFile(name)]).toEqual([name, name]);
    expect(storedFile(name)).toBe(`./${name}`);
  });

  test.each([
    ['file:a', 'a'],
    ['file:///a', '///a'],
    ['file:./a', './a'],
  ])('"file:" of %j is dropped', (name, plain) => {
    expect([sourceFile(name), targetFile(name), storedFile(name)]).toEqual([plain, plain, plain]);
  });

  test('"file:" is dropped once, and the stored name still has no protocol', () => {
    expect([sourceFile('file:file:a'), targetFile('file:a:b')]).toEqual(['file:a', 'a:b']);
    expect([storedFile('file:file:a'), storedFile('file:nbd://h')]).toEqual(['./file:a', './nbd://h']);
  });

  test('every accepted name leads to the typed file', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', ':', '/', '.', 'file:') }), (name) => {
        let plain: string;
        try {
          plain = storedFile(name);
        } catch {
          return;
        }
        const typed = name.startsWith('file:') ? name.slice(5) : name;
        expect([typed, `./${typed}`]).toContain(plain);
        expect(plain).not.toMatch(/^[^/]*:/);
      }),
    );
  });
});

describe('protocols', () => {
  test.each([
    ['http://host/disk', /^Protocol 'http' is not supported \(download it first, .*curl .*'\)$/],
    ['https://host/disk', /'https' .*curl/],
    ['ftp://host/disk', /'ftp' .*curl/],
    ['ssh://host/disk', /'ssh' .*qemu-img convert/],
    ['rbd:pool/disk', /'rbd' .*qemu-img convert/],
    ['iscsi://host/disk', /'iscsi' .*qemu-img convert/],
    ['gluster://host/disk', /'gluster' .*qemu-img convert/],
    ['blkdebug::disk', /'blkdebug' .*qemu-img convert/],
    ['null-co://', /'null-co' .*qemu-img convert/],
    ['json:{"driver":"raw"}', /^Protocol 'json' .* \(use --image-opts: /],
    ['host_device:/dev/sda', /'host_device' .*give only the name of the device/],
  ])('%s is refused with an alternative', (name, words) => {
    const error = failure(() => sourceFile(name));
    expect(error.code).toBe('ERR_UNSUPPORTED');
    expect(error.message.startsWith(`Could not open '${name}': `)).toBe(true);
    expect(error.message.slice(`Could not open '${name}': `.length)).toMatch(words);
    for (const other of [targetFile, storedFile]) {
      expect(failure(() => other(name)).code).toBe('ERR_UNSUPPORTED');
    }
  });

  test.each(['bogus://host', 'a+b.c-1://x', 'constructor://x'])(
    '%s looks like a URI of a protocol that QEMU does not know',
    (name) => {
      expect(failure(() => sourceFile(name))).toMatchObject({
        code: 'ERR_USAGE',
        message: `Could not open '${name}': Unknown protocol '${name.split(':')[0]}' (a file of that name is './${name}')`,
      });
    },
  );

  test('the name of an NBD export is a source as it is, and that of a file after file:', () => {
    for (const name of ['nbd://host/disk', 'nbd:host:10809', 'nbds+unix:///disk?socket=s']) {
      expect(sourceFile(name)).toBe(name);
      expect(sourceFile(`file:${name}`)).toBe(`./${name}`);
      expect(failure(() => storedFile(name)).code).toBe('ERR_UNSUPPORTED');
    }
    expect(failure(() => sourceFile('nbd:x')).code).toBe('ERR_USAGE');
  });

  test.each(['', 'file:'])('%j does not name a file', (name) => {
    for (const read of [sourceFile, targetFile, storedFile]) {
      expect(failure(() => read(name))).toMatchObject({
        code: 'ERR_USAGE',
        message: expect.stringMatching(/The 'file' block driver requires a file name$/),
      });
    }
  });
});
