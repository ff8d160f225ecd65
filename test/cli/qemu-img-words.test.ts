/** Arguments that qemu-img refuses are refused here with the same message. */
import { beforeAll, describe, expect, test } from 'vitest';
import { parseCommandLine } from '../../src/cli/command-line.js';
import { Qcow2cError } from '../../src/errors.js';
import { useScratch } from '../e2e/scratch.js';
import { run, runOk } from '../oracle/run.js';

const scratch = useScratch();

beforeAll(async () => {
  for (const name of ['in.qcow2', 'there']) {
    await runOk('qemu-img', ['create', '-q', '-f', 'qcow2', scratch(name), '1M']);
  }
  await runOk('qemu-img', ['create', '-q', '-f', 'raw', scratch('in'), '1M']);
  await runOk('qemu-img', ['create', '-q', '-f', 'raw', scratch('b'), '1M']);
});

function failure(words: readonly string[]): Qcow2cError {
  try {
    parseCommandLine(['convert', ...words]);
  } catch (error) {
    if (error instanceof Qcow2cError) return error;
    throw error;
  }
  throw new Error(`${words.join(' ')} was not refused`);
}

/** The sentences of qemu-img as one, without its name and the words that say what it was doing. */
async function qemuImg(words: readonly string[]): Promise<string> {
  const { status, stderr } = await run('qemu-img', ['convert', ...words], { cwd: scratch() });
  expect(status).toBe(1);
  return stderr
    .replace(/^qemu-img: warning: .*\n.*\n/, '')
    .replace(/^qemu-img: \w+: error while converting \w+: /, '')
    .replace(/\n$/, '')
    .replaceAll('\n', ' ')
    .replaceAll('qemu-img: ', '');
}

/** After the sentence there may be a hint in brackets of our own. */
function withoutHint(message: string): string {
  return message.replace(/ \([^(]*\)$/, '');
}

describe('arguments', () => {
  test.each([
    ...['', 'in', '-c in', '-O qcow2 -o in out'],
    // Numbers
    ...['-S 1 in out', '-S 511 in out', '-S 1.1k in out', '-S 17M in out', '-S 2G in out', '-S 9E in out'],
    ...['-S 16E in out', '-S  in out', '-S x in out', '-S -1 in out', '-S 4kk in out'],
    ...['-r x in out', '-r -1 in out', '-r  in out', '-r 9E in out', '-r 16E in out', '-r 1 -r x in out'],
    // Cache modes
    ...['-t bad in out', '-t  in out', '-T bad in out', '-T None in out'],
    // Formats and their options
    ...['-O bogus in out', '-f bogus in out', '-O  in out', '-f  in out', '-O bogus -o help'],
    ...['-O qcow2 -o  in out', '-O qcow2 -o , in out', '-O qcow2 -o compat=v3, in out'],
    ...['-O qcow2 -o ,help in out', '-O qcow2 -o bogus=1 in out', '-O raw -o cluster_size=4k in out'],
    // Copy offloading
    ...['-C -c in out', '-C -S 4k in out', '-C -S 0 in out', '-C --salvage in out', '-C -c -S 4k in out'],
    // An existing target
    ...['-n -o cluster_size=4k in out', '-n -o preallocation=off', '-S 1 -n -o size=1M', '-n -o help in out'],
    ...[
      '--target-is-zero in out',
      '--target-is-zero -n -o size=1M in out',
      '--target-image-opts in file.filename=b',
    ],
    ...['-n --target-image-opts -O raw in driver=raw,file.filename=b'],
    // Several sources
    ...['-l x in.qcow2 in.qcow2 out', '--bitmaps -O qcow2 in.qcow2 in.qcow2 out'],
    ...['-B b -F raw -O qcow2 in in out', '-B b -O qcow2 in in out'],
    ...['-o backing_file=b,backing_fmt=raw -O qcow2 in in out'],
    // Bitmaps
    ...['--skip-broken-bitmaps -O qcow2 in.qcow2 out', '--bitmaps -O raw in.qcow2 out'],
    ...['--bitmaps -n -O raw in.qcow2 b', '--skip-broken-bitmaps -C -c in out'],
    // A backing file
    ...['-B b -O qcow2 in out', '-o backing_file=b -O qcow2 in out', '-B b -c -O qcow2 in out'],
    ...['-B b -F raw -O raw in out', '-B b -O raw in out', '-F raw -O raw in out'],
    ...['-B b -O qcow2 -o preallocation=full -c in out', '-B bogus:x -F raw -O raw in out'],
    // Compression
    ...['-c -O raw in out', '-c -O raw -n in b', '-c -O qcow2 -o preallocation=metadata in out'],
    ...['-c -O qcow2 -o encryption=on in out', '-c -O raw --bitmaps in.qcow2 out'],
    // Names
    ...['bogus://x/y out', 'in bogus://out', ' out'],
    ...['-f raw a://b out', 'file: out'],
    // Options in the place of names
    ...['--image-opts -f raw driver=raw,file.filename=in out', '--image-opts in out'],
    // In which order
    ...['-T bad -O bogus', '-T bad -O bogus in out', '-T bad a://b out', '-O bogus -o bogus=1 -t bad in out'],
    ...['-O qcow2 -o bogus=1 -t bad in out', '-c -O qcow2 -o preallocation=full -t bad in out'],
    ...['-O qcow2 -B b -t bad in out', '-l x -O bogus in.qcow2 in.qcow2 out', '-O bogus in bogus://out'],
    ...['--bitmaps -t bad -O raw in.qcow2 out', '--target-image-opts --target-is-zero in file.filename=b'],
    ...['-C -c --target-is-zero in out', '-r x -C -c in out'],
  ])('convert %s', async (line) => {
    const words = line === '' ? [] : line.split(' ');
    const theirs = await qemuImg(words);
    const { code, message } = failure(words);
    expect(code).toBe('ERR_USAGE');
    expect([message, withoutHint(message)]).toContain(theirs);
  });

  test('qemu-img exits with 0 after it refused this; qcow2c does not', async () => {
    const words = ['-n', '--target-is-zero', '-B', 'b', '-F', 'raw', '-O', 'qcow2', 'in', 'there'];
    const { stderr } = await run('qemu-img', ['convert', ...words], { cwd: scratch() });
    expect(`qemu-img: ${failure(words).message}\n`).toBe(stderr);
  });

  test.each(['snapshot.foo=1', 'snapshot.', 'snapshot.id=1,snapshot.x=2'])(
    '-l %s, with both sentences of qemu-img joined',
    async (text) => {
      const theirs = await qemuImg(['-l', text, 'in.qcow2', 'out']);
      const [, second = '', first = ''] =
        /^(.*): (.*)$/.exec(failure(['-l', text, 'in.qcow2', 'out']).message) ?? [];
      expect(`${first} ${second}`).toBe(theirs);
    },
  );
});

describe('options instead of a name', () => {
  test.each([
    '',
    ',',
    '=x',
    'help',
    'filename=in',
    'data-file=',
    'driver=raw',
    'driver=qcow2',
    'driver=raw,filename=in',
    'driver=raw,file=in',
    'driver=file',
    'driver=file,file.filename=in',
    'driver=,file.filename=in',
    'driver=bogus,file.filename=in',
    'file.filename=',
    'file.driver=bogus,file.filename=in',
    'driver=raw,file.filename=in,offset=x',
    'driver=raw,file.filename=in,offset=',
    'driver=raw,file.filename=in,size=-1',
    'driver=raw,file.filename=in,offset=16E',
    'driver=raw,file.filename=in,bogus=1',
    'driver=qcow2,file.filename=in.qcow2,bogus=1',
    'driver=qcow2,file.filename=in.qcow2,offset=1',
    'file.bogus=1,file.filename=in',
    'file.filename=in.qcow2,read-only=x',
    'file.filename=in.qcow2,cache.direct=x',
    'driver=qcow2,file.filename=in.qcow2,lazy-refcounts=x',
    'driver=qcow2,file.filename=in.qcow2,data-file=d',
  ])('--image-opts %j', async (text) => {
    const theirs = await qemuImg(['--image-opts', text, 'out']);
    const { code, message } = failure(['--image-opts', text, 'out']);
    expect(code).toBe('ERR_USAGE');
    const aboutSizes = / Optional suffix .*$/;
    expect([message, withoutHint(message)]).toContain(theirs.replace(aboutSizes, ''));
  });

  test.each(['driver=raw,file.filename=b,read-only=on', 'b', 'driver=raw', ''])(
    '-n --target-image-opts %j',
    async (text) => {
      const words = ['-n', '--target-image-opts', 'in', text];
      const theirs = await qemuImg(words);
      const { message } = failure(words);
      expect([message, withoutHint(message)]).toContain(theirs);
    },
  );
});
