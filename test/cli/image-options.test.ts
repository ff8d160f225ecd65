import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ImageUse, readImageOptions, readTargetOptions } from '../../src/cli/options/image-options.js';
import { Qcow2cError } from '../../src/errors.js';
import type { ImageReference } from '../../src/image/image-reference.js';

/** The option that states the format of an image without one. */
const UNSTATED = { formatOption: 'driver=' };
const SOURCE: ImageUse = { role: 'source', direct: false, forceShare: false };

function failure(attempt: () => unknown): Qcow2cError {
  try {
    attempt();
  } catch (error) {
    if (error instanceof Qcow2cError) return error;
    throw error;
  }
  throw new Error('was not refused');
}

describe('a source', () => {
  test.each<[string, ImageReference]>([
    ['file.filename=a', { file: 'a', ...UNSTATED }],
    ['file.driver=file,file.filename=a', { file: 'a', ...UNSTATED }],
    ['driver=file,filename=a', { file: 'a', format: 'raw' }],
    ['driver=host_device,filename=/dev/a', { file: '/dev/a', format: 'raw' }],
    ['driver=raw,file.filename=a', { file: 'a', format: 'raw' }],
    ['driver=raw,file.driver=host_device,file.filename=a', { file: 'a', format: 'raw' }],
    ['driver=raw,file.driver=raw,file.file.filename=a', { file: 'a', format: 'raw' }],
    ['driver=raw,file.filename=a,offset=1M', { file: 'a', format: 'raw', offset: 1_048_576 }],
    ['driver=raw,file.filename=a,offset=512,size=0', { file: 'a', format: 'raw', offset: 512, size: 0 }],
    ['driver=qcow2,file.filename=a', { file: 'a', format: 'qcow2' }],
    ['file.filename=a,driver=qcow2', { file: 'a', format: 'qcow2' }],
    ['driver=raw,driver=qcow2,file.filename=a,file.filename=b', { file: 'b', format: 'qcow2' }],
    ['driver=qcow2,file.filename=a,backing=', { file: 'a', format: 'qcow2', backing: 'none' }],
    ['file.filename=a,backing=', { file: 'a', backing: 'none', ...UNSTATED }],
    [
      'driver=qcow2,file.filename=a,backing.driver=raw,backing.file.filename=b',
      { file: 'a', format: 'qcow2', backing: { file: 'b', format: 'raw' } },
    ],
    [
      'driver=qcow2,file.filename=a,backing.driver=file,backing.filename=b',
      { file: 'a', format: 'qcow2', backing: { file: 'b', format: 'raw' } },
    ],
    [
      'driver=qcow2,file.filename=a,backing.file.filename=b',
      { file: 'a', format: 'qcow2', backing: { file: 'b', formatOption: 'backing.driver=' } },
    ],
    [
      'driver=qcow2,file.filename=a,backing.driver=qcow2,backing.file.filename=b,' +
        'backing.backing.driver=qcow2,backing.backing.file.filename=c,backing.backing.backing=',
      {
        file: 'a',
        format: 'qcow2',
        backing: {
          file: 'b',
          format: 'qcow2',
          backing: { file: 'c', format: 'qcow2', backing: 'none' },
        },
      },
    ],
    ['driver=qcow2,file.filename=a,data-file.filename=d', { file: 'a', format: 'qcow2', dataFile: 'd' }],
    [
      'driver=qcow2,file.filename=a,data-file.driver=file,data-file.filename=d',
      { file: 'a', format: 'qcow2', dataFile: 'd' },
    ],
    [
      'driver=qcow2,file.filename=a,data-file.driver=raw,data-file.file.filename=d',
      { file: 'a', format: 'qcow2', dataFile: 'd' },
    ],
    ['file.filename=a,,b=c', { file: 'a,b=c', ...UNSTATED }],
    ['file.filename=a:b', { file: 'a:b', ...UNSTATED }],
    ['file.filename=file:a', { file: 'file:a', ...UNSTATED }],
    ['file.filename=-', { file: '-', ...UNSTATED }],
    ['file.filename=a,', { file: 'a', ...UNSTATED }],
  ])('%s', (text, reference) => {
    expect(readImageOptions(text, SOURCE)).toStrictEqual(reference);
  });

  test.each([
    'read-only=on',
    'read-only=off',
    'read-only',
    'auto-read-only=on',
    'cache.direct=off',
    'cache.no-flush=on',
    'discard=unmap',
    'discard=ignore',
    'detect-zeroes=on',
    'node-name=x',
    'lazy-refcounts=on',
    'file.aio=io_uring',
    'file.locking=on',
    'force-share=off',
    'file.locking=auto',
    'file.read-only=on',
    'file.cache.direct=off',
    'backing.read-only=on',
  ])('%s has no effect', (option) => {
    const text = 'driver=qcow2,file.filename=a,backing.file.filename=b';
    expect(readImageOptions(`${text},${option}`, SOURCE)).toEqual(readImageOptions(text, SOURCE));
  });

  test('cache.direct must agree with -T', () => {
    const text = (value: string) => `file.filename=a,cache.direct=${value}`;
    const direct = { ...SOURCE, direct: true };
    expect(readImageOptions(text('on'), direct)).toEqual({ file: 'a', ...UNSTATED });
    for (const [value, use] of [
      ['on', SOURCE],
      ['off', direct],
    ] as const) {
      expect(failure(() => readImageOptions(text(value), use))).toMatchObject({
        code: 'ERR_UNSUPPORTED',
        message:
          `Could not open '${text(value)}': ` +
          `Option 'cache.direct=${value}' is not supported (-T states the cache mode)`,
      });
    }
  });

  test.each(['force-share=on', 'file.force-share=on', 'file.locking=off'])(
    '%s allows concurrent writers',
    (option) => {
      expect(readImageOptions(`driver=qcow2,file.filename=a,${option}`, SOURCE)).toEqual({
        file: 'a',
        format: 'qcow2',
        forceShare: true,
      });
    },
  );

  test.each([
    ['driver=nbd,server.type=unix,server.path=/run/x,export=vda', 'nbd+unix:///vda?socket=%2Frun%2Fx', 'raw'],
    ['driver=nbd,server.type=inet,server.host=h,server.port=1,export=a/b', 'nbd://h:1/a%2Fb', 'raw'],
    ['driver=nbd,host=::1', 'nbd://[::1]/', 'raw'],
    ['driver=qcow2,file.driver=nbd,file.path=s,file.read-only=on', 'nbd+unix:///?socket=s', 'qcow2'],
    ['driver=raw,file.filename=nbd://h/x', 'nbd://h/x', 'raw'],
    ['driver=raw,file.driver=file,file.filename=nbd://h/x', './nbd://h/x', 'raw'],
  ])('%s is the export or file %s', (text, file, format) => {
    expect(readImageOptions(text, SOURCE)).toEqual({ file, format });
  });

  test('the backing file of an image can be an export', () => {
    const text =
      'driver=qcow2,file.filename=a,backing.driver=nbd,backing.server.type=unix,backing.server.path=s';
    expect(readImageOptions(text, SOURCE)).toEqual({
      file: 'a',
      format: 'qcow2',
      backing: { file: 'nbd+unix:///?socket=s', format: 'raw' },
    });
  });

  test.each([
    ['driver=nbd', 'one of path and host must be specified'],
    ['driver=nbd,path=a,host=b', 'path and host may not be used at the same time'],
    ['driver=nbd,server.type=inet', "Parameter 'server.host' is missing"],
    ['driver=nbd,server.type=unix', "Parameter 'server.path' is missing"],
    ['driver=nbd,server.type=vsock,server.cid=1', "Parameter 'server.type' does not accept value 'vsock'"],
    ['driver=nbd,host=a,socket=b', "Block protocol 'nbd' doesn't support the option 'socket'"],
  ])('%s is refused: %s', (text, words) => {
    const { code, message } = failure(() => readImageOptions(text, SOURCE));
    expect(code).toBe('ERR_USAGE');
    expect(message).toContain(words);
  });

  test('-U excludes force-share=off', () => {
    const text = 'file.filename=a,force-share=off';
    expect(readImageOptions(text, SOURCE)).toEqual({ file: 'a', ...UNSTATED });
    const shared = { ...SOURCE, forceShare: true };
    expect(readImageOptions('file.filename=a,force-share=on', shared)).toEqual({
      file: 'a',
      ...UNSTATED,
      forceShare: true,
    });
    expect(failure(() => readImageOptions(text, shared)).message).toContain(
      '--force-share/-U conflicts with image options',
    );
  });

  test.each([
    ['driver=vmdk,file.filename=a', "Format 'vmdk' is not supported (convert it to qcow2 first: "],
    [
      'driver=nbd,host=a,tls-creds=t',
      "Option 'tls-creds' is not supported (--tls-creds names the directory)",
    ],
    ['driver=ssh,host=a', "Driver 'ssh' is not supported (the format of a file or a device is raw or qcow2)"],
    ['driver=qcow2,file.driver=qcow2,file.file.filename=a', 'An image in a qcow2 image is not supported'],
    ['driver=qcow2,file.filename=a,encrypt.format=luks', 'Encrypted images are not supported'],
    [
      'driver=qcow2,file.filename=a,backing.driver=vdi,backing.file.filename=b',
      "Format 'vdi' is not supported",
    ],
  ])('%s is refused by name', (text, words) => {
    const { code, message } = failure(() => readImageOptions(text, SOURCE));
    expect(code).toBe('ERR_UNSUPPORTED');
    expect(message.startsWith(`Could not open '${text}': ${words}`), message).toBe(true);
  });

  test.each([
    ['noread-only,file.filename=in', "Cannot find device='noread-only' nor node-name='noread-only'"],
    ['driver=qcow2,file.filename=a,backing=b', "Cannot find device='b' nor node-name='b'"],
    ['file.filename=a,offset=512', "Block format 'raw or qcow2' does not support the option 'offset'"],
    ['file.driver=raw,file.offset=0,file.file.filename=a', 'A raw node that holds an image does not support'],
    ['driver=qcow2,file.filename=a,backing.driver=qcow2', 'A block device must be specified for "file"'],
    ['driver=qcow2,file.filename=a,backing.offset=1', 'Must specify either driver or file'],
    [
      'driver=qcow2,file.filename=a,data-file.file.filename=d',
      "The 'file' block driver requires a file name",
    ],
    ['file.filename=a,file.aio=x', "Parameter 'aio' does not accept value 'x'"],
    ['file.filename=a,discard=x', "Parameter 'discard' does not accept value 'x'"],
  ])('%s is refused as an image', (text, words) => {
    const { code, message } = failure(() => readImageOptions(text, SOURCE));
    expect(code).toBe('ERR_USAGE');
    expect(message.startsWith(`Could not open '${text}': ${words}`), message).toBe(true);
  });

  test('any file name survives when its commas are doubled', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), (file) => {
        const text = `driver=qcow2,file.filename=${file.replaceAll(',', ',,')},backing=`;
        expect(readImageOptions(text, SOURCE)).toEqual({ file, format: 'qcow2', backing: 'none' });
      }),
    );
  });

  test('any text is an image or refused', () => {
    const word = fc.constantFrom(
      'driver',
      'raw',
      'qcow2',
      'file',
      'filename',
      'backing',
      'data-file',
      '=',
      ',',
      '.',
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 20 }), (words) => {
        const text = words.join('');
        try {
          expect(readImageOptions(text, SOURCE).file).not.toBe('');
        } catch (error) {
          expect(error).toBeInstanceOf(Qcow2cError);
        }
      }),
    );
  });
});

describe('a target', () => {
  const read = (text: string, direct = true) => readTargetOptions(text, { direct, forceShare: false });

  test.each([
    ['driver=raw,file.filename=a', { file: 'a', format: 'raw' }],
    ['driver=qcow2,file.filename=a,read-only=off,discard=unmap', { file: 'a', format: 'qcow2' }],
    ['driver=file,filename=a', { file: 'a', format: 'raw' }],
    ['driver=host_device,filename=/dev/a', { file: '/dev/a', format: 'raw' }],
    ['driver=qcow2,file.filename=a,cache.direct=on', { file: 'a', format: 'qcow2' }],
  ])('%s', (text, expected) => {
    expect(read(text)).toStrictEqual(expected);
  });

  test.each([
    ['file.filename=a', "The target's format must be stated (driver=raw or driver=qcow2)"],
    ['driver=raw,file.filename=a,offset=512', "'offset' cannot be used with a target"],
    ['driver=raw,file.filename=a,size=512', "'size' cannot be used with a target"],
    ['driver=qcow2,file.filename=a,backing=', "'backing' cannot be used with a target"],
    ['driver=qcow2,file.filename=a,data-file.filename=d', "'data-file' cannot be used with a target"],
    ['driver=raw,file.filename=a,read-only=on', 'Block node is read-only'],
    [
      'driver=raw,file.filename=a,cache.direct=off',
      "Option 'cache.direct=off' is not supported (-t states the cache mode)",
    ],
  ])('%s is refused', (text, words) => {
    expect(failure(() => read(text)).message).toBe(`Could not open '${text}': ${words}`);
  });
});
