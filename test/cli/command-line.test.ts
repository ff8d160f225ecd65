import { describe, expect, test } from 'vitest';
import { parseCommandLine } from '../../src/cli/command-line.js';
import { COMMANDS } from '../../src/cli/commands.js';
import { formatOptionsHelp } from '../../src/cli/options/format-option-keys.js';
import { optionsOf } from '../../src/cli/options/option-table.js';
import type { ConvertOptions } from '../../src/convert/options.js';
import { Qcow2cError } from '../../src/errors.js';

/** What `convert` with no more than two file names comes to; the rest is left to the library's defaults. */
const PLAIN: ConvertOptions = {
  sources: ['in'],
  target: 'out.qcow2',
  targetFormat: 'qcow2',
  compress: false,
  create: {},
  keepTarget: false,
};

function parse(...words: string[]) {
  const request = parseCommandLine(['convert', ...words]);
  if (request.kind !== 'convert') throw new Error(`not a conversion: ${request.kind}`);
  return request;
}

/** Without a stated format only a target of the same format may be written over. */
function overwriting(line: string): Pick<ConvertOptions, 'overwrite'> {
  const isStated = /(^| )(-O|(--target-format|--target-image-opts)( |=|$))/.test(line);
  return isStated ? {} : { overwrite: 'same format' };
}

function failure(...words: string[]): Qcow2cError {
  try {
    parseCommandLine(words);
  } catch (error) {
    if (error instanceof Qcow2cError) return error;
    throw error;
  }
  throw new Error(`${words.join(' ')} was not refused`);
}

describe('options of convert', () => {
  test.each<[string, Partial<ConvertOptions>]>([
    ['in out.qcow2', {}],
    ['-c in out.qcow2', { compress: true }],
    ['--compress in out.qcow2', { compress: true }],
    ['a b c out.qcow2', { sources: ['a', 'b', 'c'] }],
    ['-f raw in out.qcow2', { sourceFormat: 'raw' }],
    ['in nbd://h/a.qcow2', { target: 'nbd://h/a.qcow2', targetFormat: 'raw' }],
    ['--source-format=qcow2 in out.qcow2', { sourceFormat: 'qcow2' }],
    ['-O raw in out.qcow2', { targetFormat: 'raw' }],
    ['--target-format raw in out.qcow2', { targetFormat: 'raw' }],
    ['-O raw -O qcow2 -f qcow2 -f raw in out.qcow2', { sourceFormat: 'raw' }],
    ['--isolated in out.qcow2', { isolated: true }],
    ['--salvage in out.qcow2', { salvage: true }],
    ['-l x in out.qcow2', { snapshot: { idOrName: 'x' } }],
    ['--snapshot x,id=1 in out.qcow2', { snapshot: { idOrName: 'x,id=1' } }],
    ['-l snapshot.id=1 in out.qcow2', { snapshot: { id: '1' } }],
    ['-l snapshot.name=a,,b in out.qcow2', { snapshot: { name: 'a,b' } }],
    ['-l snapshot.name=a,snapshot.id=1,snapshot.name=b in out.qcow2', { snapshot: { id: '1', name: 'b' } }],
    ['-l snapshot.id in out.qcow2', { snapshot: { id: 'on' } }],
    ['-l x -l snapshot.id=1 in out.qcow2', { snapshot: { id: '1' } }],
    ['--bitmaps in out.qcow2', { bitmaps: 'all' }],
    ['--bitmaps --skip-broken-bitmaps in out.qcow2', { bitmaps: 'skip-broken' }],
    ['-U in out.qcow2', { forceShare: true }],
    ['--force-share in out.qcow2', { forceShare: true }],
    ['-C in out.qcow2', {}],
    ['--copy-range-offloading in out.qcow2', {}],
    ['-r 0 in out.qcow2', {}],
    ['-r 1.5k in out.qcow2', { rateLimit: 1536 }],
    ['--rate-limit=1M in out.qcow2', { rateLimit: 1_048_576 }],
    ['-r 7E in out.qcow2', { rateLimit: Number.MAX_SAFE_INTEGER }],
    ['-c --recompress in out.qcow2', { compress: true, recompress: true }],
    ['-n --target-is-zero in out.qcow2', { keepTarget: true, targetIsZero: true }],
    ['-b b -F raw in out.qcow2', { create: { backingFile: 'b', backingFormat: 'raw' } }],
    ['-B b -F qcow2 in out.qcow2', { create: { backingFile: 'b', backingFormat: 'qcow2' } }],
    ['-B a -b b -F raw in out.qcow2', { create: { backingFile: 'b', backingFormat: 'raw' } }],
    ['-b a -B b -F raw in out.qcow2', { create: { backingFile: 'b', backingFormat: 'raw' } }],
    ['--backing=b --backing-format=raw in out.qcow2', { create: { backingFile: 'b', backingFormat: 'raw' } }],
    [
      '-o backing_file=b,backing_fmt=raw in out.qcow2',
      { create: { backingFile: 'b', backingFormat: 'raw' } },
    ],
    [
      '-b b -o backing_file=a,backing_fmt=raw in out.qcow2',
      { create: { backingFile: 'b', backingFormat: 'raw' } },
    ],
    [
      '-F qcow2 -o backing_file=a,backing_fmt=raw in out.qcow2',
      { create: { backingFile: 'a', backingFormat: 'qcow2' } },
    ],
    ['-b file:b -F raw in out.qcow2', { create: { backingFile: 'b', backingFormat: 'raw' } }],
    ['-n -b b in out.qcow2', { keepTarget: true, create: { backingFile: 'b' } }],
    ['-o size=1M in out.qcow2', { create: { size: 1_048_576 } }],
    ['--min-size 1M in out.qcow2', { minSize: 1_048_576 }],
    ['--min-size=0 in out.qcow2', { minSize: 0 }],
    ['file:in file:out.qcow2', {}],
    ['file:a:b file:out.qcow2', { sources: ['a:b'] }],
    ['-S 0 in out.qcow2', { sparseSize: 0 }],
    ['-S 64k in out.qcow2', { sparseSize: 65536 }],
    ['--sparse-size=1.5k in out.qcow2', { sparseSize: 1536 }],
    ['-S 16M in out.qcow2', { sparseSize: 16777216 }],
    ['-m 1 in out.qcow2', { threads: 1 }],
    ['-m 0x10 in out.qcow2', { threads: 16 }],
    ['--parallel 1023 in out.qcow2', { threads: 1023 }],
    ['-W in out.qcow2', {}],
    ['--oob-writes in out.qcow2', {}],
    ['-t none in out.qcow2', { targetCache: 'none' }],
    ['--target-cache=unsafe in out.qcow2', { targetCache: 'unsafe' }],
    ['-T directsync in out.qcow2', { sourceCache: 'directsync' }],
    ['--source-cache writethrough in out.qcow2', { sourceCache: 'writethrough' }],
    ['-t writeback -T none in out.qcow2', { targetCache: 'writeback', sourceCache: 'none' }],
    ['-n in out.qcow2', { keepTarget: true }],
    ['--no-create in out.qcow2', { keepTarget: true }],
    ['-c --compressed-cache-size 0 in out.qcow2', { compress: true, compressedCacheSize: 0 }],
    ['-c --compressed-cache-size=4M in out.qcow2', { compress: true, compressedCacheSize: 4194304 }],
    ['-c --engine libdeflate in out.qcow2', { compress: true, engine: 'libdeflate' }],
    ['-c --engine=libzstd in out.qcow2', { compress: true, engine: 'libzstd' }],
    ['--engine node in out.qcow2', { engine: 'node' }],
    ['--engine auto in out.qcow2', {}],
    ['--debug in out.qcow2', {}],
    ['-o cluster_size=4k in out.qcow2', { create: { clusterSize: 4096 } }],
    ['-o cluster_size=4k,compat=v2 in out.qcow2', { create: { clusterSize: 4096, compat: 2 } }],
    ['-o cluster_size=4k -o compat=v2 in out.qcow2', { create: { clusterSize: 4096, compat: 2 } }],
    ['-o cluster_size=4k -o cluster_size=8k in out.qcow2', { create: { clusterSize: 8192 } }],
    ['--target-format-options refcount_bits=1 in out.qcow2', { create: { refcountBits: 1 } }],
    ['-c -o compression_level=3 in out.qcow2', { compress: true, compressionLevel: 3 }],
    ['-nc -o compression_level=3 in out.qcow2', { keepTarget: true, compress: true, compressionLevel: 3 }],
    ['-c -o compression_window_bits=12 in out.qcow2', { compress: true, compressionWindowBits: 12 }],
  ])('convert %s', (line, options) => {
    expect(parse(...line.split(' ')).options).toEqual({ ...PLAIN, ...overwriting(line), ...options });
  });

  test.each([
    ['options after the file names', 'in out.qcow2 -c -O qcow2 -m 2'],
    ['options between the file names', 'in -c -m 2 out.qcow2 -O qcow2'],
    ['values glued to letters', '-c -Oqcow2 -m2 in out.qcow2'],
    ['letters together', '-cWOqcow2 -m 2 in out.qcow2'],
    ['a value that looks like an option', '-c -O qcow2 -m 2 in out.qcow2 -Ounknown -O qcow2'],
    ['two dashes before the file names', '-cm2 -O qcow2 -- in out.qcow2'],
  ])('%s', (_what, line) => {
    expect(parse(...line.split(' ')).options).toEqual({ ...PLAIN, compress: true, threads: 2 });
  });

  test.each<[string, Partial<ConvertOptions>]>([
    ['- out.qcow2', {}],
    ['-f raw - out.qcow2', { sourceFormat: 'raw' }],
    ['-c -o size=1M - out.qcow2', { compress: true, create: { size: 1_048_576 } }],
    ['-O raw -o size=1M - out.qcow2', { targetFormat: 'raw', create: { size: 1_048_576 } }],
    ['-b b -F raw - out.qcow2', { create: { backingFile: 'b', backingFormat: 'raw' } }],
  ])('convert %s reads standard input', (line, options) => {
    const sources = [{ stream: 0, name: 'standard input' }];
    expect(parse(...line.split(' ')).options).toEqual({
      ...PLAIN,
      ...overwriting(line),
      sources,
      ...options,
    });
  });

  test.each<[string, Partial<ConvertOptions>]>([
    ['--image-opts file.filename=a out.qcow2', { sources: [{ file: 'a', formatOption: 'driver=' }] }],
    [
      '--source-image-opts driver=qcow2,file.filename=a driver=raw,file.filename=b out.qcow2',
      {
        sources: [
          { file: 'a', format: 'qcow2' },
          { file: 'b', format: 'raw' },
        ],
      },
    ],
    ['-n --target-image-opts in driver=qcow2,file.filename=out.qcow2', { sources: ['in'], keepTarget: true }],
    [
      '-n --target-image-opts in driver=raw,file.filename=out.qcow2',
      { sources: ['in'], keepTarget: true, targetFormat: 'raw' },
    ],
    [
      '-T none --image-opts file.filename=a,cache.direct=on out.qcow2',
      { sources: [{ file: 'a', formatOption: 'driver=' }], sourceCache: 'none' },
    ],
    [
      '-n --target-image-opts -t writeback in driver=qcow2,file.filename=out.qcow2,cache.direct=off',
      { keepTarget: true, targetCache: 'writeback' },
    ],
  ])('convert %s', (line, options) => {
    expect(parse(...line.split(' ')).options).toEqual({ ...PLAIN, ...overwriting(line), ...options });
  });

  test('a list may be glued to -o', () => {
    expect(parse('-ocluster_size=4k,compat=v2', 'in', 'out.qcow2').options.create).toEqual({
      clusterSize: 4096,
      compat: 2,
    });
  });

  test('file names may be any text', () => {
    const names = ['./-', ' ', 'convert', '=', 'in=out,x', './a:b', '/a:b'];
    expect(parse(...names, 'out.qcow2').options.sources).toEqual(names);
    expect(parse('--', '-c', '--progress', '--', '-o').options).toMatchObject({
      sources: ['-c', '--progress', '--'],
      target: '-o',
      compress: false,
    });
  });

  test.each([
    ['in out', 'raw'],
    ['in out.raw', 'raw'],
    ['in.qcow2 out', 'raw'],
    ['in out.qcow2', 'qcow2'],
    ['-c in out', 'qcow2'],
    ['-c in out.raw', 'qcow2'],
    ['-O raw in out.qcow2', 'raw'],
    ['-O qcow2 in out.raw', 'qcow2'],
  ])('convert %s creates %s', (line, format) => {
    expect(parse(...line.split(' ')).options.targetFormat).toBe(format);
  });
});

describe('progress and messages', () => {
  test.each([
    ['', 'none', false],
    ['-p', 'auto', false],
    ['--progress', 'auto', false],
    ['--progress=auto', 'auto', false],
    ['--progress=bar', 'bar', false],
    ['--progress=qemu', 'qemu', false],
    ['--progress=json', 'json', false],
    ['--progress=none', 'none', false],
    ['-p --progress=json', 'json', false],
    ['--progress=json -p', 'json', false],
    ['-p --progress=none', 'none', false],
    ['-v', 'none', true],
    ['--verbose -p', 'auto', true],
    ['-q', 'none', false],
    ['-qp', 'none', false],
    ['--quiet --progress=bar -v', 'none', false],
  ])('%j', (line, progress, verbose) => {
    const words = line.split(' ').filter((word) => word !== '');
    const quiet = line.startsWith('-q') || line.startsWith('--quiet');
    expect(parse(...words, 'in', 'out.qcow2')).toMatchObject({ progress, quiet, verbose });
    expect(parse('in', 'out.qcow2', ...words)).toMatchObject({ progress, quiet, verbose });
  });

  test('--progress does not take a file name as its style', () => {
    expect(parse('--progress', 'in', 'out.qcow2').options.sources).toEqual(['in']);
  });
});

describe('texts', () => {
  test.each(['--help', '-h', 'convert --help', 'convert -h', 'convert -ch', 'convert in out --help'])(
    '%s prints help',
    (line) => {
      const request = parseCommandLine(line.split(' '));
      expect(request).toMatchObject({
        kind: 'text',
        text: expect.stringMatching(/^Usage: qcow2c (convert|COMMAND)/),
      });
    },
  );

  test.each(['--version', '-V', 'convert --version', 'convert in out -V'])(
    '%s prints the versions',
    (line) => {
      expect(parseCommandLine(line.split(' '))).toEqual({ kind: 'versions' });
    },
  );

  test.each([
    '-o help',
    '-o ?',
    '-O qcow2 -o help',
    '-o cluster_size=4k,help in out',
    '-c -o help in',
    '-ohelp',
  ])('convert %s lists the keys', (line) => {
    const text = formatOptionsHelp('qcow2');
    expect(parseCommandLine(['convert', ...line.split(' ')])).toEqual({ kind: 'text', text });
  });

  test('the keys of a raw image are listed when -O says raw', () => {
    const text = formatOptionsHelp('raw');
    expect(parseCommandLine(['convert', '-O', 'raw', '-o', 'help'])).toEqual({ kind: 'text', text });
  });
});

describe('help', () => {
  test("without a command is the program's help", () => {
    expect(parseCommandLine(['help'])).toEqual(parseCommandLine(['--help']));
  });

  test.each(COMMANDS.map(({ table }) => table.name))('of %s is the output of its --help', (name) => {
    expect(parseCommandLine(['help', name])).toEqual(parseCommandLine([name, '--help']));
  });

  test('of a command of qemu-img names qemu-img', () => {
    expect(failure('help', 'create').message).toBe("qcow2c has no command 'create'; use 'qemu-img create'");
  });

  test('of an unknown command suggests one', () => {
    expect(failure('help', 'ifno').message).toBe("unknown command 'ifno' (Did you mean info?)");
  });
});

describe('a suggestion', () => {
  const longNames = COMMANDS.flatMap(({ table }) =>
    optionsOf(table)
      .flatMap(({ flags }) => flags)
      .filter((flag) => flag.length > 4 && flag.startsWith('--'))
      .map((flag) => [table.name, flag] as const),
  );

  test.each(longNames)('%s %s is suggested if a letter is missing', (name, flag) => {
    // A letter out of the middle, so that it is not the begin of any.
    const misspelt = flag.slice(0, 3) + flag.slice(4);
    expect(failure(name, misspelt, 'a').message).toMatch(/Did you mean /);
    expect(failure(name, misspelt, 'a').message).toContain(flag);
    expect(failure(name, `${misspelt}=x`, 'a').message).toContain(flag);
  });

  test.each(longNames)('%s %s is suggested for the name with one dash', (name, flag) => {
    const words = [name, flag.slice(1), 'a'];
    expect(failure(...words).message).toContain(`(Did you mean ${flag}?)`);
  });

  test.each([
    ['a value', ['info', '--output=jsn', 'x'], 'json'],
    ['a value in the next word', ['info', '--output', 'JSON', 'x'], 'json'],
    ['a value of a letter', ['check', '-r', 'leak', 'x'], 'leaks'],
    ['a style of progress', ['check', '--progress=br', 'x'], 'bar'],
    ['an engine', ['convert', '--engine', 'libdefalte', 'a', 'b'], 'libdeflate'],
    ['a shell', ['completion', 'fihs'], 'fish'],
    ['a command', ['chekc', 'x'], 'check'],
    ['a command in capitals', ['Convert', 'a', 'b'], 'convert'],
    ['a value of an option without a value', ['check', '--quiet=1', 'x'], '--quiet'],
    ['one dash and a value', ['measure', '-output=json', 'x'], '--output'],
    ['an option of the program', ['--hlep'], '--help'],
  ])('%s', (_what, words, meant) => {
    expect(failure(...words).message).toMatch(`(Did you mean ${meant}?)`);
  });

  test('no suggestion after two dashes', () => {
    expect(failure('info', '--', '-output', 'b').message).not.toContain('Did you mean');
  });
});

describe('operands', () => {
  test.each(['info', 'check', 'map'])('%s expects one operand', (name) => {
    for (const files of [[], ['a', 'b'], ['-f', 'raw'], ['--output=json']]) {
      expect(failure(name, ...files).message).toMatch(/^Expecting one image file name/);
    }
  });

  test.each(['info', 'check', 'map', 'compare a'])('%s does not take standard input', (line) => {
    const [command = '', ...words] = line.split(' ');
    expect(() => parseCommandLine([command, ...words, '-'])).toThrow(
      expect.objectContaining({
        code: 'ERR_UNSUPPORTED',
        message:
          "Standard input ('-') is read once, so only 'convert' and 'measure -c' accept it; save it to a file first " +
          "(a file of that name is './-')",
      }),
    );
  });

  test('compare expects two operands', () => {
    for (const files of [[], ['a'], ['a', 'b', 'c'], ['-f', 'raw', 'a']]) {
      expect(failure('compare', ...files).message).toMatch(/^Expecting two image file names/);
    }
  });

  test('measure expects one operand, or a size', () => {
    for (const words of [[], ['-O', 'qcow2']]) {
      expect(failure('measure', ...words).message).toBe('Either --size N or one filename must be specified.');
    }
    expect(failure('measure', '--size', '1M', 'a').message).toBe(
      '--size N cannot be used together with a filename.',
    );
    expect(failure('measure', 'a', 'b').message).toBe('At most one filename argument is allowed.');
  });

  test('completion expects a shell', () => {
    for (const words of [[], ['bash', 'zsh']]) {
      expect(failure('completion', ...words).message).toBe('Expecting one shell: bash, zsh, fish');
    }
    expect(failure('completion', 'nu').message).toBe("unknown shell 'nu' (known: bash, zsh, fish)");
  });

  test('man expects no operand', () => {
    expect(failure('man', 'convert').message).toMatch(/^Expecting no argument/);
  });
});

describe('refusals without a counterpart in qemu-img', () => {
  test.each(['amend', 'bench', 'bitmap', 'commit', 'create', 'dd', 'rebase', 'resize', 'snapshot'])(
    '%s is left to qemu-img',
    (name) => {
      expect(failure(name, 'x')).toMatchObject({
        code: 'ERR_UNSUPPORTED',
        message: `qcow2c has no command '${name}'; use 'qemu-img ${name}'`,
      });
      expect(failure(name, '--help')).toMatchObject({ code: 'ERR_UNSUPPORTED' });
      expect(failure(name)).toMatchObject({ code: 'ERR_UNSUPPORTED' });
    },
  );

  test.each([
    [[], "Not enough arguments; try 'qcow2c --help'"],
    [['look', 'x'], "unknown command 'look'; try 'qcow2c --help'"],
    [['infi', 'x'], "unknown command 'infi' (Did you mean info?)"],
    [['convrt', 'a', 'b'], "unknown command 'convrt' (Did you mean convert?)"],
    [['-c', 'a', 'b'], "unknown option '-c'; try 'qcow2c --help'"],
    [['convert', '-x', 'a', 'b'], "unknown option '-x'; try 'qcow2c convert --help'"],
    [['convert', '-cx', 'a', 'b'], "unknown option '-x'; try 'qcow2c convert --help'"],
    [
      ['convert', '--spare-size=4k', 'a', 'b'],
      "unknown option '--spare-size=4k' (Did you mean --sparse-size?)",
    ],
    [
      ['convert', '--spare-size', '4k', 'a', 'b'],
      "unknown option '--spare-size' (Did you mean --sparse-size?)",
    ],
    [
      ['convert', 'a', 'b', '-f'],
      "option '-f, --source-format <fmt>' argument missing; try 'qcow2c convert --help'",
    ],
    [
      ['convert', '--engine', 'zip', 'a', 'b'],
      "option '--engine <name>' argument 'zip' is invalid. Allowed choices are auto, isal, libdeflate, libzstd, node; " +
        "try 'qcow2c convert --help'",
    ],
    [
      ['convert', '--progress=dots', 'a', 'b'],
      "option '--progress <style>' argument 'dots' is invalid. Allowed choices are auto, bar, qemu, log, json, none; " +
        "try 'qcow2c convert --help'",
    ],
    [
      ['convert', '--object', 'secret,id=x,data=y', 'a', 'b'],
      '--object is not supported: qcow2c reads no encrypted images, and --tls-creds names the keys of NBD connections',
    ],
    [
      ['convert'],
      "Must specify image file name (source and target are missing; 'qcow2c convert [options] SRC DST')",
    ],
    [
      ['convert', '-c', 'a.raw'],
      "Must specify image file name (the target is missing, 'a.raw' is the source; 'qcow2c convert [options] SRC DST')",
    ],
    [
      ['convert', '-c', 'a.raw', '-o', 'b.qcow2'],
      "Must specify image file name (the target is missing, 'a.raw' is the source; -o takes format options, " +
        "and 'b.qcow2' is not one; 'qcow2c convert [options] SRC DST')",
    ],
    [
      ['convert', 'a', '-', 'b'],
      "'standard input' is a stream, which must be the only source; join the parts on the way ('cat A B | qcow2c " +
        "convert - OUT'), or save it to a file first",
    ],
    [
      ['convert', '-c', '-o', 'cluster_sise=4k', 'a', 'b'],
      "Invalid parameter 'cluster_sise' (Did you mean cluster_size?)",
    ],
    [
      ['convert', '-o', 'cluster-size=4k', 'a', 'b'],
      "Invalid parameter 'cluster-size' (Did you mean cluster_size?; only qcow2 images have it; the target is raw: " +
        "its name does not end in .qcow2; add '-O qcow2')",
    ],
    [
      ['convert', '-O', 'qcow2', '-o', 'bogus=1', 'a', 'b'],
      "Invalid parameter 'bogus' ('-O qcow2 -o help' lists the keys)",
    ],
    [
      ['convert', '-o', 'compression_type=zstd', 'a', 'b.img'],
      "Invalid parameter 'compression_type' (only qcow2 images have it; the target is raw: its name does not end in " +
        ".qcow2; add '-O qcow2')",
    ],
    [
      ['convert', '-O', 'raw', '-o', 'compression_type=zstd', 'a', 'b.qcow2'],
      "Invalid parameter 'compression_type' (only qcow2 images have it)",
    ],
    [
      ['convert', '-B', 'base', '-F', 'raw', 'a', 'b.img'],
      "Backing file not supported for file format 'raw' (the target is raw: its name does not end in .qcow2; add " +
        "'-O qcow2')",
    ],
    [
      ['convert', '--bitmaps', 'a', 'b.img'],
      "Format driver 'raw' does not support bitmaps (the target is raw: its name does not end in .qcow2; add " +
        "'-O qcow2')",
    ],
    [
      ['measure', '-o', 'cluster_size=4k', 'a'],
      "Invalid parameter 'cluster_size' (only qcow2 images have it; the target is raw: measure takes raw by default, " +
        "as qemu-img does; add '-O qcow2')",
    ],
    [
      ['convert', '-c', '-B', 'base', 'a', 'b'],
      'Use of backing file requires explicit backing format (state it with -F raw or -F qcow2)',
    ],
    [
      ['convert', '--min-size', 'x', 'a', 'b'],
      'Invalid minimum size specified. You may use k, M, G, T, P or E suffixes for kilobytes, megabytes, gigabytes, ' +
        'terabytes, petabytes and exabytes.',
    ],
    [
      ['convert', '-n', '-c', 'a', '-'],
      "'standard output' is a stream, which holds no image to write into: -n is for files and devices",
    ],
    [
      ['convert', '-c', '--verify', 'a', '-'],
      "'standard output' is a stream, which cannot be read back: add --spool DIR, or compare what the reader has stored",
    ],
    [
      ['convert', '-O', 'raw', '--spool', 'd', '--verify', 'a', '-'],
      "'standard output' is a stream, which cannot be read back: compare what the reader has stored",
    ],
    [
      ['convert', '-O', 'qcow2', '-o', 'preallocation=metadata', 'a', '-'],
      "'standard output' is a stream, which has no space to preallocate: write to a file, or leave preallocation out",
    ],
    [
      ['convert', '-O', 'qcow2', '-o', 'data_file=d', 'a', '-'],
      "'standard output' is a stream, which is one file: write an image with an external data file to a file",
    ],
    [
      ['convert', '-f', 'vmdk', 'a', 'b'],
      "Could not open 'a': Format 'vmdk' is not supported (convert it to qcow2 first: 'qemu-img convert -f vmdk -O qcow2')",
    ],
    [
      ['convert', '-f', 'file', 'a', 'b'],
      "Could not open 'a': Driver 'file' is not supported (the format of a file or a device is raw or qcow2)",
    ],
    [
      ['convert', '-O', 'vdi', 'a', 'b'],
      "File format 'vdi' is not supported (create a qcow2 image and convert it: 'qemu-img convert -f qcow2 -O vdi')",
    ],
    [
      ['convert', '-O', 'nbd', 'a', 'b'],
      "Driver 'nbd' is not supported (the format of a file or a device is raw or qcow2)",
    ],
    [
      ['convert', '-O', 'qcow2', '-b', 'b', '-F', 'qed', 'a', 'b'],
      "Backing file format 'qed' is not supported (it must be raw or qcow2)",
    ],
    [
      ['convert', '-O', 'qcow2', '-b', 'b', '-F', 'x', 'a', 'b'],
      "Parameter 'backing_fmt' does not accept value 'x' (accepted: raw, qcow2)",
    ],
    [
      ['convert', '-O', 'qcow2', '-b', 'nbd://host/disk', '-F', 'raw', 'a', 'b'],
      "'nbd://host/disk' is an NBD export, and a new image can name a file or a device only",
    ],
    [
      ['convert', '--compressed-cache-size', '8E', 'a', 'b'],
      'Invalid compressed cache size specified. Must be between 0 and 9007199254740991.',
    ],
  ])('%j', (words, message) => {
    const isUnsupported =
      /^(--object|Protocol|Could not|File format|Driver|Backing file format) .*not supported|is an NBD export/;
    const code =
      isUnsupported.test(message) && !message.includes("for file format 'raw'")
        ? 'ERR_UNSUPPORTED'
        : 'ERR_USAGE';
    expect(failure(...words)).toMatchObject({ code, message });
  });

  test.each(['0', '-1', '1024', '1.5', '2k', 'x', '', '99999999999999999999999'])('-m %j', (text) => {
    expect(failure('convert', '-m', text, 'a', 'b')).toMatchObject({
      code: 'ERR_USAGE',
      message: `Invalid number of threads '${text}'. Allowed number of threads is between 1 and 1023`,
    });
  });
});
