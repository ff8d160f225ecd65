import { describe, expect, test } from 'vitest';
import { picture } from '../../../../src/cli/map/svg/picture.js';
import { Cells } from '../../../../src/map/cells.js';
import type { DiskKind } from '../../../../src/map/survey-disk.js';
import type { FileKind } from '../../../../src/map/survey-file.js';
import type { ImageSurvey } from '../../../../src/map/survey-image.js';

/** An image of one TiB whose cells are filled by `fill`. */
function survey(fill: (disk: Cells<DiskKind>, file: Cells<FileKind>) => void): ImageSurvey {
  const disk = new Cells<DiskKind>(0, 2 ** 40, 4096);
  const file = new Cells<FileKind>(0, 2 ** 30, 4096);
  fill(disk, file);
  return {
    name: 'a<b>.qcow2',
    format: 'qcow2',
    virtualSize: 2 ** 40,
    clusterSize: 65536,
    compressionType: 'zstd',
    backingFiles: ['base & more.raw'],
    disk,
    files: [{ name: 'a<b>.qcow2', cells: file }],
  };
}

const small = survey((disk, file) => {
  disk.add('data', 0, 2 ** 30);
  disk.add('compressed', 2 ** 30, 2 ** 30);
  disk.add('payload', 2 ** 30, 2 ** 30, 2 ** 29);
  disk.add('backing1', 2 ** 31, 2 ** 30);
  disk.add('unallocated', 3 * 2 ** 30, 2 ** 40 - 3 * 2 ** 30);
  file.add('header', 0, 65536);
  file.add('unused', 65536, 2 ** 30 - 65536);
});

describe('the picture', () => {
  test('names the image, its sizes, and how much there is of each colour', () => {
    const svg = picture(small);
    const texts = [...svg.matchAll(/<text [^>]*>([^<]*)<\/text>/g)].map(([, text]) => text);
    expect(texts[0]).toBe('a&lt;b&gt;.qcow2');
    expect(texts[1]).toContain('clusters of 64 KiB  ·  compression zstd  ·  disk 1 TiB  ·  file 1 GiB');
    expect(texts).toContain('1 GiB stored in 512 MiB (50 %)');
    expect(texts).toContain('1 GiB (&lt; 0.1 %), base &amp; more.raw');
    expect(texts).toContain('one cell is 256 MiB, a row 32 GiB');
    for (const offset of ['128 GiB', '512 GiB', '896 GiB', '+16 GiB']) expect(texts).toContain(offset);
    // Nothing is explained that is not there.
    expect(svg).not.toContain('zeros');
    expect(svg).not.toContain('bitmaps');
  });

  test('has no markup but its own', () => {
    const tags = [...picture(small).matchAll(/<\/?([a-z]+)/g)].map(([, tag]) => tag!);
    expect([...new Set(tags)].sort()).toEqual(['desc', 'g', 'path', 'rect', 'style', 'svg', 'text', 'title']);
  });

  test('closes what it opens', () => {
    const open: string[] = [];
    for (const [, end, tag, alone] of picture(small).matchAll(/<(\/?)([a-z]+)[^<>]*?(\/?)>/g)) {
      if (end === '/') expect(open.pop()).toBe(tag);
      else if (alone === '') open.push(tag!);
    }
    expect(open).toEqual([]);
  });

  test('stays small, whatever the image is', () => {
    const kinds: DiskKind[] = [
      'data',
      'compressed',
      'backing1',
      'backing2',
      'backing3',
      'zero',
      'unallocated',
    ];
    const fileKinds: FileKind[] = [
      'l1',
      'l2',
      'refcounts',
      'snapshots',
      'bitmaps',
      'data',
      'compressed',
      'other',
      'hole',
    ];
    const worst = survey((disk, file) => {
      // All kinds in all cells, no two neighbours alike.
      for (let cell = 0; cell < disk.count; cell += 1) {
        for (const [index, kind] of kinds.entries()) disk.addTo(cell, kind, 1 + ((cell + index) % 5));
        disk.addTo(cell, 'payload', cell % 4);
      }
      for (let cell = 0; cell < file.count; cell += 1) {
        for (const [index, kind] of fileKinds.entries()) file.addTo(cell, kind, 1 + ((cell + index) % 5));
      }
    });
    expect(picture(worst).length).toBeLessThan(2_000_000);
    expect(picture(small).length).toBeLessThan(20_000);
  });

  test('of an image without a byte says so', () => {
    const nothing = { ...small, disk: new Cells<DiskKind>(0, 0, 512), virtualSize: 0 };
    expect(picture(nothing)).toContain('There is nothing in it.');
  });
});
