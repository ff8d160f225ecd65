/** Nothing in an image or in names on the command line can control a terminal, a browser or a JSON reader. */
import { symlinkSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { runOk } from '../oracle/run.js';
import { cli } from './cli.js';
import { useScratch } from './scratch.js';
import {
  bitmapEntry,
  bitmapsExtension,
  type Forgery,
  snapshotEntry,
  writeForgery,
} from './untrusted-images.js';

const path = useScratch();
const KIB = 1024;
const CLUSTER = 64 * KIB;

/** ESC sequences, lines, markup, other directions, DEL, C1 controls. */
const EVIL = 'a\x1b[2J\x1b]0;t\x07\r\nb<script>alert(1)</script>]]>&x;"\'\u202e\u2066\u200f\x7f\x9b31m';
/** The same, and bytes that are no UTF-8, among them C1 controls as single bytes. */
const EVIL_BYTES = Buffer.concat([
  Buffer.from(EVIL),
  Buffer.from([0x9b, 0xff, 0xc0, 0xaf, 0xed, 0xa0, 0x80]),
]);

/** All but line ends and printable characters, and characters that change the direction of writing. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const HARMFUL = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;

const BACKING_FORMAT = 0xe2792aca;
const DATA_FILE = 0x44415441;
const FEATURE_NAMES = 0x6803f857;
const ENCRYPTION = 0x0537be77;

function featureNames(): Uint8Array {
  const table = Buffer.alloc(48);
  table[1] = 40;
  EVIL_BYTES.copy(table, 2, 0, 46);
  return table;
}

/** An image with one L1 entry that a check complains about, and names of every kind. */
const bitmaps = bitmapEntry({ offset: 8 * CLUSTER, entries: 1 }, EVIL_BYTES);
const snapshots = snapshotEntry({ l1: { offset: 1, entries: 1 }, id: EVIL_BYTES, name: EVIL_BYTES });
const NAMES: Forgery = {
  virtualSize: 2 ** 20,
  autoclear: 1n,
  snapshots: { offset: 6 * CLUSTER, count: 1 },
  extensions: [bitmapsExtension(1, 7 * CLUSTER, bitmaps.length)],
  pieces: [
    { at: 6 * CLUSTER, bytes: snapshots },
    { at: 7 * CLUSTER, bytes: bitmaps },
    { at: 8 * CLUSTER, bytes: Buffer.alloc(CLUSTER) },
  ],
};

function luks(): Forgery {
  const header = Buffer.alloc(592);
  header.write('LUKS\xba\xbe', 'latin1');
  header.writeUInt16BE(1, 6);
  for (const [at, length] of [
    [8, 32],
    [40, 32],
    [72, 32],
    [168, 40],
  ] as const)
    EVIL_BYTES.copy(header, at, 0, length);
  const pointer = Buffer.alloc(16);
  pointer.writeBigUInt64BE(BigInt(5 * CLUSTER), 0);
  pointer.writeBigUInt64BE(592n, 8);
  return {
    cryptMethod: 2,
    extensions: [{ type: ENCRYPTION, data: pointer }],
    pieces: [{ at: 5 * CLUSTER, bytes: header }],
  };
}

const IMAGES: Readonly<Record<string, Forgery>> = {
  snapshots_and_bitmaps: NAMES,
  backing: { ...NAMES, backing: EVIL_BYTES },
  backing_in_utf8: { ...NAMES, backing: Buffer.from(EVIL) },
  backing_in_a_format: {
    backing: Buffer.from(EVIL),
    extensions: [{ type: BACKING_FORMAT, data: Buffer.from('\x1b[31m<b>\u202e') }],
  },
  protocol: { backing: Buffer.from(`nbd\x1b[2J:${EVIL}`) },
  data_file: { incompatible: 4n, extensions: [{ type: DATA_FILE, data: EVIL_BYTES }] },
  data_file_in_utf8: { incompatible: 4n, extensions: [{ type: DATA_FILE, data: Buffer.from(EVIL) }] },
  feature: { incompatible: 1n << 40n, extensions: [{ type: FEATURE_NAMES, data: featureNames() }] },
  luks: luks(),
};

/** Every command and every way in which it prints; FILE, OTHER and OUT are replaced. */
const COMMANDS: readonly string[] = [
  'info FILE',
  'info -f qcow2 --backing-chain FILE',
  'info -f qcow2 --deep --output=json FILE',
  'info --debug -f qcow2 --backing-chain FILE',
  'check FILE',
  'check -f qcow2 --data FILE',
  'check -f qcow2 --output=json FILE',
  'compare FILE OTHER',
  'compare -f qcow2 -s FILE OTHER',
  'map FILE',
  'map -f qcow2 --output=json FILE',
  'map -f qcow2 --output=svg FILE',
  'measure -O qcow2 FILE',
  'measure -f qcow2 -O qcow2 --output=json FILE',
  'measure -f qcow2 -c FILE',
  'convert FILE OUT',
  'convert -f qcow2 --bitmaps --skip-broken-bitmaps -v FILE OUT',
  'convert -f qcow2 --bitmaps FILE OUT',
  'convert -f qcow2 --salvage --progress=json FILE OUT',
  'convert -f qcow2 -l none FILE OUT',
  'convert -f qcow2 --salvage --output=json FILE OUT',
  'checksum -f qcow2 --output=json FILE',
];

/** The output of a command, and its expected form. */
async function expectHarmless(args: readonly string[]): Promise<void> {
  const { stdout, stderr, signal } = await cli(args);
  const what = args.map((word) => JSON.stringify(word)).join(' ');
  expect(signal, what).toBeNull();
  expect(stderr, what).not.toContain('internal error');
  expect(stdout, what).not.toMatch(HARMFUL);
  expect(stderr, what).not.toMatch(HARMFUL);
  if (args.includes('--output=json') && stdout !== '') JSON.parse(stdout);
  if (args.includes('--output=svg') && stdout !== '') await expectPlainSvg(stdout);
}

/** Well-formed, without an element that could do anything, an entity or a section of raw text. */
async function expectPlainSvg(svg: string): Promise<void> {
  writeFileSync(path('picture.svg'), svg);
  const parse = 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])';
  await runOk('python3', ['-c', parse, path('picture.svg')]);
  const elements = new Set([...svg.matchAll(/<([^\s>/]+)/g)].map(([, name]) => name));
  const plain = ['svg', 'title', 'desc', 'style', 'rect', 'text', 'g', 'path'];
  expect([...elements].filter((name) => !plain.includes(name ?? ''))).toEqual([]);
  expect(svg).not.toMatch(/<!|\]\]>|&(?!amp;|lt;|gt;|quot;)|\son\w+=|href/);
}

const other = path('other.raw');
beforeAll(() => writeFileSync(other, Buffer.alloc(KIB)));

describe.each(Object.entries(IMAGES))('an image with evil names (%s)', (name, forgery) => {
  const image = path(`${name}.qcow2`);
  beforeAll(() => writeForgery(image, forgery));

  test('controls no terminal, with any command', { timeout: 240_000 }, async () => {
    const replaced: Readonly<Record<string, string>> = { FILE: image, OTHER: other, OUT: path('out.qcow2') };
    for (const command of COMMANDS)
      await expectHarmless(command.split(' ').map((word) => replaced[word] ?? word));
  });
});

test('the names are really there: JSON has them, in ASCII', async () => {
  const image = path('shown.qcow2');
  writeForgery(image, { ...NAMES, backing: Buffer.from(EVIL) });
  const { stdout } = await cli(['info', '--output=json', '-f', 'qcow2', image]);
  expect(stdout).toMatch(/^[\n -~]*$/);
  const info = JSON.parse(stdout);
  expect(info['backing-filename']).toBe(EVIL);
  const text = EVIL_BYTES.toString();
  expect(info.snapshots[0]).toMatchObject({ name: text });
  expect(info['format-specific'].data.bitmaps[0].name).toBe(text);
});

describe('a file with an evil name', () => {
  const good = path('good.qcow2');
  const evil = path(EVIL.replaceAll('/', '|'));
  beforeAll(async () => {
    await runOk('qemu-img', ['create', '-f', 'qcow2', good, '1M']);
    symlinkSync(good, evil);
  });

  test('drives no terminal, whether it can be read or not', { timeout: 240_000 }, async () => {
    for (const file of [evil, `${evil}2`]) {
      const replaced: Readonly<Record<string, string>> = { FILE: file, OTHER: other, OUT: `${evil}3` };
      for (const command of COMMANDS)
        await expectHarmless(command.split(' ').map((word) => replaced[word] ?? word));
    }
  });

  test('nor do words that are no options, commands or formats', async () => {
    for (const words of [
      [EVIL],
      ['info', `--${EVIL}`],
      ['convert', '-O', EVIL, good, 'x'],
      ['info', '-f', EVIL, good],
      ['convert', '-o', `${EVIL}=1`, good, 'x'],
    ]) {
      await expectHarmless(words);
      await expectHarmless([...words, '--debug']);
    }
  });
});
