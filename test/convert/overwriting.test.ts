/** The existing files that may be overwritten if the target's format was not stated; other files are unchanged. */
import * as fs from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { parseCommandLine } from '../../src/cli/command-line.js';
import { snapshot } from '../e2e/failures.js';
import { useScratch } from '../e2e/scratch.js';
import { textBytes } from '../e2e/source-images.js';
import { forgedQcow2 } from '../image/forged-qcow2.js';
import { shortened } from '../stage.js';
import { convertHere } from './built-worker.js';

const path = useScratch();
const DISK = textBytes(65_536);
const IMAGE = forgedQcow2({});
const latin1 = (text: string) => Buffer.from(text, 'latin1');
/** What QEMU calls each content. */
const OTHER_IMAGES: Readonly<Record<string, Buffer>> = {
  qcow: latin1('QFI\xfb\0\0\0\x01'),
  vmdk: latin1('KDMV'),
  vhdx: latin1('vhdxfile'),
  vdi: Buffer.concat([Buffer.alloc(64), latin1('\x7f\x10\xda\xbe')]),
};

let directory = '';
const here = (name: string) => `${directory}/${name}`;
beforeEach(({ task }) => {
  directory = path(task.id);
  fs.mkdirSync(directory);
  fs.writeFileSync(here('a.raw'), DISK);
});

/** Converts according to the words of a command line; words that begin with ./ are files of the test. */
function convertAs(words: string): Promise<unknown> {
  const args = words.split(' ').map((word) => word.replace(/^(.*=)?\.\//, `$1${directory}/`));
  const request = parseCommandLine(['convert', '-m', '1', ...args]);
  if (request.kind !== 'convert') throw new Error(words);
  return convertHere(request.options);
}

async function expectRefusal(words: string, name: string, found: string, advice: RegExp): Promise<void> {
  const before = snapshot(directory);
  const error = await convertAs(words).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: 'ERR_USAGE', file: here(name), found });
  expect(String(error)).toContain(`'${here(name)}' exists and holds ${found} data`);
  expect(String(error)).toMatch(advice);
  expect(snapshot(directory)).toEqual(before);
}

const isQcow2 = (name: string) => fs.readFileSync(here(name)).subarray(0, 4).equals(IMAGE.subarray(0, 4));

describe('a qcow2 target whose format was not stated', () => {
  const advice = /-O qcow2 \(the target is the last name\)$/;

  test('is refused if it is the last source, because the target was named first or is missing', async () => {
    fs.writeFileSync(here('out.qcow2'), IMAGE);
    for (const name of ['b.raw', 'c.raw']) fs.writeFileSync(here(name), DISK);
    await expectRefusal('-c ./out.qcow2 ./a.raw ./b.raw ./c.raw', 'c.raw', 'raw', advice);
    await expectRefusal('-c ./a.raw ./b.raw', 'b.raw', 'raw', advice);
    await expectRefusal('-c -n ./a.raw ./b.raw', 'b.raw', 'raw', advice);
  });

  test.each(
    shortened(
      [
        ['raw', DISK],
        ['raw', Buffer.from('x')],
        ['raw', IMAGE.subarray(0, 3)],
        ['raw', Buffer.concat([Buffer.alloc(512), IMAGE])],
        ...Object.entries(OTHER_IMAGES),
        ['luks', latin1('LUKS\xba\xbe')],
      ] as const,
      3,
    ),
  )('must not hold other content, under any name: %s', async (found, content) => {
    for (const name of ['b.img', 'b.qcow2']) {
      fs.writeFileSync(here(name), content);
      await expectRefusal(`-c ./a.raw ./${name}`, name, found, advice);
    }
    await expectRefusal('./a.raw ./b.qcow2', 'b.qcow2', found, advice);
    fs.symlinkSync('b.img', here('link'));
    await expectRefusal('-c ./a.raw ./link', 'link', found, advice);
    await convertAs('-c -O qcow2 ./a.raw ./b.img');
    expect(isQcow2('b.img')).toBe(true);
  });

  test('may be a qcow2 image of any name, an empty file, or a new one', async () => {
    fs.writeFileSync(here('empty.img'), '');
    fs.writeFileSync(here('of another program.img'), IMAGE);
    for (const name of ['new.img', 'new.qcow2', 'empty.img', 'of another program.img']) {
      const options = { sources: [here('a.raw')], sourceFormat: 'raw', target: here(name) } as const;
      for (const _ of ['first', 'again']) await convertHere({ ...options, compress: true, threads: 1 });
      expect(isQcow2(name)).toBe(true);
    }
    for (const _ of ['first', 'again']) await convertAs('-c ./a.raw ./link.img');
    expect(isQcow2('link.img')).toBe(true);
  });

  test('is checked in the same way by the library, unless an option allows it', async () => {
    fs.writeFileSync(here('b.raw'), DISK);
    const options = { sources: [here('a.raw')], target: here('b.raw'), threads: 1 };
    await expect(convertHere(options)).rejects.toThrow(advice);
    await expect(
      convertHere({ ...options, targetFormat: 'qcow2', overwrite: 'same format' }),
    ).rejects.toThrow(advice);
    await convertHere({ ...options, overwrite: 'any' });
    expect(isQcow2('b.raw')).toBe(true);
  });
});

describe('a raw target whose format was not stated', () => {
  test.each([['qcow2', IMAGE], ...Object.entries(OTHER_IMAGES)])(
    'must not hold an image in another format: %s',
    async (found, content) => {
      fs.writeFileSync(here('b.img'), content);
      const advice = /the target would be a raw disk: .* -O raw \(the target is the last name\)$/;
      await expectRefusal('./a.raw ./b.img', 'b.img', found, advice);
      await expectRefusal('-n ./a.raw ./b.img', 'b.img', found, advice);
      await convertAs('-O raw ./a.raw ./b.img');
      expect(fs.readFileSync(here('b.img')).equals(DISK)).toBe(true);
    },
  );

  test('may be a raw disk of an earlier run, also one that begins as an encrypted volume', async () => {
    const disk = Buffer.concat([latin1('LUKS\xba\xbe'), Buffer.alloc(506), DISK]);
    fs.writeFileSync(here('a.raw'), disk);
    fs.writeFileSync(here('b.raw'), 'something else');
    for (const _ of ['first', 'again']) await convertAs('-f raw ./a.raw ./b.raw');
    expect(fs.readFileSync(here('b.raw')).equals(disk)).toBe(true);
  });
});

describe('an external data file', () => {
  test.each([['qcow2', IMAGE], ...Object.entries(OTHER_IMAGES)])(
    'must not hold an image, with any -O: %s',
    async (found, content) => {
      fs.writeFileSync(here('data'), content);
      const words = '-O qcow2 -o data_file=./data ./a.raw ./tables.qcow2';
      await expectRefusal(words, 'data', found, /name another data file, or remove this one first$/);
    },
  );

  test('may be the data file of an earlier run', async () => {
    for (const _ of ['first', 'again']) await convertAs('-o data_file=./data ./a.raw ./tables.qcow2');
    expect(fs.readFileSync(here('data')).equals(DISK)).toBe(true);
  });
});
