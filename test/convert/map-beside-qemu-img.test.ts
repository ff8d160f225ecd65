/** Compares the maps of several kinds of images with `qemu-img map`, sector by sector. */
import * as fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, test } from 'vitest';
import { type OpenedImage, openImage } from '../../src/image/open-image.js';
import { useScratch } from '../e2e/scratch.js';
import { map } from '../oracle/qemu-img.js';
import { runOk } from '../oracle/run.js';

const path = useScratch();
const MAKE_IMAGES = fileURLToPath(new URL('../../fixtures/make-images.js', import.meta.url));
const SECTOR = 512;

const NAMES = [
  'clusters/64k-v3-zlib',
  'clusters/512-v3-zstd',
  'clusters/4k-v2-zlib',
  'subclusters/states-16k',
  'subclusters/16k-zlib',
  'subclusters/over-qcow2-16k',
  'data-files/absolute-name',
  'chains/depth-3',
  'layout/preallocated-metadata-65536',
  'layout/preallocated-metadata-16384-extended-l2',
  'layout/cut-inside-the-last-cluster',
  'layout/larger-l1-table',
  'layout/without-copied-flags',
  'sizes/odd-subclusters',
  'sizes/one-sector-more-than-a-cluster',
];

beforeAll(() => runOk(process.execPath, [MAKE_IMAGES, path('images'), '--only', `^(${NAMES.join('|')})$`]));

/** Where a sector's bytes are: zeros, a compressed cluster, or a place in a layer's file. */
type Place = 'zero' | 'compressed' | { readonly depth: number; readonly offset: number };

/** What our map says, sector by sector. */
async function ourPlaces({ source, layers }: OpenedImage): Promise<Place[]> {
  const places: Place[] = [];
  for (let at = 0; at < source.size; ) {
    const range = await source.map(at);
    if (range.kind === 'unreadable') throw range.error;
    // A file may end inside a sector: a sector is what its first byte is.
    for (let byte = (SECTOR - (at % SECTOR)) % SECTOR; byte < range.length; byte += SECTOR) {
      if (range.kind !== 'data') {
        places.push(range.kind);
        continue;
      }
      const depth = layers.findIndex(({ layer }) => layer.fileOf(range.descriptor) !== undefined);
      places.push({ depth, offset: range.offset + byte });
    }
    at += range.length;
  }
  return places;
}

/** What qemu-img says; places in a file where it holds nothing but zeros count as zeros. */
async function theirPlaces(image: string, isZero: (place: Place) => boolean): Promise<Place[]> {
  const ranges = (await map(image, 'qcow2')) as readonly (Awaited<ReturnType<typeof map>>[number] & {
    readonly depth: number;
    readonly offset?: number;
  })[];
  return ranges.flatMap(({ length, zero, depth, offset }) =>
    Array.from({ length: Math.ceil(length / SECTOR) }, (_, index): Place => {
      if (zero) return 'zero';
      const place = offset === undefined ? 'compressed' : { depth, offset: offset + index * SECTOR };
      return isZero(place) ? 'zero' : place;
    }),
  );
}

test.each(NAMES)('%s', async (name) => {
  const file = path('images', `${name}.qcow2`);
  const image = await openImage({ file, format: 'qcow2' }, undefined, { direct: false, isolated: false });
  // The descriptor of each layer's data: its last file.
  const descriptors = image.layers.map(({ layer, qcow2 }) => {
    const others = fs.readdirSync('/proc/self/fd').map(Number);
    const own = others.filter((descriptor) => layer.fileOf(descriptor) !== undefined);
    return own.find((descriptor) => descriptor !== qcow2?.file.descriptor) ?? own[0]!;
  });
  const isZero = (place: Place): boolean => {
    if (typeof place === 'string') return place === 'zero';
    const bytes = Buffer.alloc(SECTOR);
    fs.readSync(descriptors[place.depth]!, bytes, 0, SECTOR, place.offset);
    return bytes.every((byte) => byte === 0);
  };
  const ours = (await ourPlaces(image)).map((place) => (isZero(place) ? 'zero' : place));
  expect(ours).toEqual(await theirPlaces(file, isZero));
  expect(ours.some((place) => place !== 'zero')).toBe(true);
  await image.source.close();
});
