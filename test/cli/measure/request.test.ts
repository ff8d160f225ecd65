/** The words of `measure`: their meaning, and refusals with the message of qemu-img. */
import { beforeAll, describe, expect, test } from 'vitest';
import { parseCommandLine } from '../../../src/cli/command-line.js';
import type { MeasureRequest } from '../../../src/cli/measure/request.js';
import { Qcow2cError } from '../../../src/errors.js';
import { useScratch } from '../../e2e/scratch.js';
import { run, runOk } from '../../oracle/run.js';

const scratch = useScratch();
beforeAll(async () => {
  await runOk('qemu-img', ['create', '-q', '-f', 'raw', scratch('in'), '1M']);
});

function request(line: string): MeasureRequest {
  const found = parseCommandLine(['measure', ...line.split(' ')]);
  if (found.kind !== 'measure') throw new Error(`${line} is ${found.kind}`);
  return found;
}

function failure(line: string): Qcow2cError {
  try {
    request(line);
  } catch (error) {
    if (error instanceof Qcow2cError) return error;
    throw error;
  }
  throw new Error(`${line} was not refused`);
}

describe('the request of measure', () => {
  test('is a raw disk by default, as in qemu-img', () => {
    expect(request('in')).toMatchObject({
      options: { source: { file: 'in' }, targetFormat: 'raw', compress: false, size: undefined },
      output: 'human',
      progress: 'none',
    });
  });

  test('is a qcow2 image with -c', () => {
    expect(request('-c -f raw in').options).toMatchObject({
      source: { file: 'in', format: 'raw' },
      targetFormat: 'qcow2',
      compress: true,
      sample: undefined,
    });
  });

  test('has all options of the target', () => {
    const line = '-c -o cluster_size=4k -o compression_type=zstd,compression_level=3 --engine=node -m 3 in';
    expect(request(line).options).toMatchObject({
      create: { clusterSize: 4096, compressionType: 'zstd' },
      compressionLevel: 3,
      engine: 'node',
      threads: 3,
    });
  });

  test.each([
    ['1', 512],
    ['0', 0],
    ['512', 512],
    ['9007199254740993', 9007199254741504],
    ['4E', 2 ** 62],
    ['1.5G', 1.5 * 2 ** 30],
  ])('is a disk of %s bytes in whole sectors', (text, size) => {
    expect(request(`--size ${text}`).options).not.toHaveProperty('source');
    expect(request(`--size ${text}`).options.size).toBe(size);
    expect(request(`-s ${text}`).options.size).toBe(size);
  });

  test.each([
    ['1', 1],
    ['0.25', 0.25],
    ['.5', 0.5],
    ['100', 100],
    ['12.5%', 12.5],
  ])('is a sample of %s percent', (text, sample) => {
    expect(request(`-c --sample ${text} in`).options.sample).toBe(sample);
  });

  test('is a snapshot, or an image described by options', () => {
    expect(request('-l snapshot.name=a -f qcow2 in').options.snapshot).toEqual({ id: undefined, name: 'a' });
    expect(request('--image-opts driver=raw,file.filename=in,offset=512').options.source).toEqual({
      file: 'in',
      format: 'raw',
      offset: 512,
    });
  });

  test('is standard input', () => {
    expect(request('-c -f raw -').options).toMatchObject({
      source: { stream: 0, name: 'standard input' },
      sourceFormat: 'raw',
    });
    expect(request('./-').options.source).toEqual({ file: './-' });
  });

  test('is the list of keys', () => {
    const text = (line: string) => parseCommandLine(['measure', ...line.split(' ')]);
    expect(text('-o help -O qcow2')).toMatchObject({
      text: expect.stringContaining('Supported qcow2 options'),
    });
    expect(text('-o help -c in')).toMatchObject({ text: expect.stringContaining('cluster_size') });
    expect(text('-o help')).toMatchObject({ text: expect.stringContaining('Supported raw options') });
  });

  test('can show progress', () => {
    expect(request('-p in').progress).toBe('auto');
    expect(request('--progress in').progress).toBe('auto');
    expect(request('--progress=json in').progress).toBe('json');
  });
});

/** The sentences of qemu-img as one; which format an option is not of is said once by us. */
async function qemuImg(line: string): Promise<string> {
  const { status, stderr } = await run('qemu-img', ['measure', ...line.split(' ')], { cwd: scratch() });
  expect(status).toBe(1);
  return stderr
    .replaceAll(/^qemu-img: /gm, '')
    .replace(/Invalid options for file format '\w+'\n/, '')
    .trim()
    .replaceAll('\n', ' ');
}

describe("is refused in qemu-img's words", () => {
  test.each([
    ...['-O qcow2', 'a b', '-f raw', '-l x', '--image-opts', '-f raw --size 1', '--image-opts --size 1'],
    ...['-l x --size 1', '--size 1 in', '--size x', '--size -1', '--size 1kk', '-O qcow2 -o , in'],
    ...['-O raw -o cluster_size=4k in', '-O qcow2 -o bogus=1 in', '-O qcow2 -o lazy_refcounts=maybe in'],
    ...['-O qcow2 -o refcount_bits=x in', '-O qcow2 -o extended_l2=1 in', '-O bogus in', '-f bogus in'],
  ])('%s', async (line) => {
    // After the sentence there may be a hint in brackets of our own.
    expect(failure(line).message.replace(/ \([^(]*\)$/, '')).toBe(await qemuImg(line));
  });
});

describe("is refused with better words than qemu-img's", () => {
  test.each([
    ['--size 5E', 'Invalid image size specified. Must be between 0 and 4611686018427387904.'],
    ['-c -O raw in', 'Compression not supported for this file format'],
    ['-c --size 1G', '-c requires a filename argument: --size has nothing to compress'],
    ['-c --sample 0 in', "Invalid sample '0'. It must be a percentage above 0 and up to 100"],
    ['-c --sample 101 in', "Invalid sample '101'. It must be a percentage above 0 and up to 100"],
    ['-c --sample 1e1 in', "Invalid sample '1e1'. It must be a percentage above 0 and up to 100"],
    ['-O qcow2 -o encryption=on in', "Option 'encryption=on' is not supported (qcow2c does not encrypt)"],
    [
      '-O qcow2 -o encrypt.format=luks in',
      "Option 'encrypt.format=luks' is not supported (qcow2c does not encrypt)",
    ],
    ['-c -o preallocation=full in', 'Compression and preallocation not supported at the same time'],
    ['-m 0 in', "Invalid number of threads '0'. Allowed number of threads is between 1 and 1023"],
  ])('%s', (line, message) => {
    expect(failure(line).message).toBe(message);
  });
});
