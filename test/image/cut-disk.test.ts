/** A virtual size that is not a multiple of 512 loses its last bytes, in QEMU too; every command warns of it. */
import * as fs from 'node:fs';
import { beforeAll, expect, test } from 'vitest';
import { check } from '../../src/check/check.js';
import { compare } from '../../src/compare/compare.js';
import { openImages, openSettings } from '../../src/convert/image-input.js';
import { openTargetBacking } from '../../src/convert/target-backing.js';
import { imageInfo } from '../../src/info/info.js';
import { mapImage } from '../../src/map/map-image.js';
import { surveyImage } from '../../src/map/survey-image.js';
import { measure } from '../../src/measure/measure.js';
import { useScratch } from '../e2e/scratch.js';
import { create, info } from '../oracle/qemu-img.js';

const path = useScratch();
const [odd, overlay, even] = [path('odd.qcow2'), path('overlay.qcow2'), path('even.qcow2')];
const SIZE = 1_048_575;
const WARNING =
  `the virtual size of '${odd}', ${SIZE} bytes, is not a multiple of 512: the last 511 bytes are ignored, as in ` +
  'QEMU';

beforeAll(async () => {
  await create(odd, 1_048_576);
  await create(even, 1_048_064);
  const file = fs.openSync(odd, 'r+');
  fs.writeSync(file, Buffer.from(BigInt(SIZE).toString(16).padStart(16, '0'), 'hex'), 0, 8, 24);
  fs.closeSync(file);
  await create(overlay, 1_048_576, ['-b', odd, '-F', 'qcow2']);
});

const image = (file: string) => ({ file, format: 'qcow2' as const });
type OnWarning = (message: string) => void;

/** Each command that opens an image. */
const COMMANDS: Readonly<Record<string, (file: string, onWarning: OnWarning) => Promise<unknown>>> = {
  convert: async (file, onWarning) => {
    await using _ = await openImages({ sources: [image(file)], onWarning });
  },
  'convert over it': async (file, onWarning) => {
    const settings = openSettings({ onWarning });
    const { opened } = await openTargetBacking(image(file), path('out'), undefined, settings);
    await opened?.source.close();
  },
  compare: (file, onWarning) => compare({ images: [image(file), image(even)], onWarning }),
  map: async (file, onWarning) => {
    for await (const _ of mapImage({ image: image(file), onWarning })) break;
  },
  'map to a picture': (file, onWarning) => surveyImage({ image: image(file), onWarning }),
  measure: (file, onWarning) => measure({ source: image(file), targetFormat: 'qcow2', onWarning }),
  info: (file, onWarning) => imageInfo({ image: image(file), backingChain: true, onWarning }),
  check: (file, onWarning) => check({ image: image(file), onWarning }),
  'check that repairs': (file, onWarning) => check({ image: image(file), repair: 'all', onWarning }),
};

test.each(Object.keys(COMMANDS))('%s warns of it once, and of no other size', async (name) => {
  for (const [file, expected] of [
    [odd, [WARNING]],
    [even, []],
    // A backing file that is not opened is not reported.
    [overlay, name.startsWith('check') ? [] : [WARNING]],
  ] as const) {
    const warnings: string[] = [];
    await COMMANDS[name]?.(file, (message) => warnings.push(message));
    expect([file, warnings]).toEqual([file, expected]);
  }
});

test('QEMU rounds down to the same size', async () => {
  expect((await info(odd)).virtualSize).toBe(1_048_064);
});
