import { describe, expect, test } from 'vitest';
import { picture } from '../../../../src/cli/map/svg/picture.js';
import { type TextKind, textWidth } from '../../../../src/cli/map/svg/text-width.js';
import { Cells } from '../../../../src/map/cells.js';
import type { FileKind } from '../../../../src/map/file-kinds.js';
import type { DiskKind } from '../../../../src/map/survey-disk.js';
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
  test('names the image, its sizes, and the amount of each colour', () => {
    const svg = picture(small);
    const texts = [...svg.matchAll(/<text [^>]*>([^<]*)<\/text>/g)].map(([, text]) => text);
    expect(texts[0]).toBe('a&lt;b&gt;.qcow2');
    expect(texts[1]).toContain('clusters of 64 KiB  ·  compression zstd  ·  disk 1 TiB  ·  file 1 GiB');
    expect(texts).toContain('1 GiB stored in 512 MiB (50 %)');
    expect(texts).toContain('1 GiB (&lt; 0.1 %)');
    expect(texts).toContain('base &amp; more.raw');
    expect(texts).toContain('one cell is 256 MiB, a row 32 GiB');
    for (const offset of ['128 GiB', '512 GiB', '896 GiB', '+16 GiB']) expect(texts).toContain(offset);
    // Nothing is explained that is not there.
    expect(svg).not.toContain('zeros');
    expect(svg).not.toContain('bitmaps');
  });

  test('distinguishes clusters of snapshots, slack and leaks by colour and in the legend', () => {
    const svg = picture(
      survey((disk, file) => {
        disk.add('unallocated', 0, 2 ** 40);
        file.add('unused', 7 * 2 ** 20, 2 ** 30 - 7 * 2 ** 20);
        file.add('snapshotData', 0, 2 ** 20);
        file.add('slack', 2 ** 20, 2 ** 21);
        file.add('leaked', 3 * 2 ** 20, 2 ** 22);
      }),
    );
    const colours = ['clusters of snapshots only', 'slack beside payloads', 'leaked clusters'].map(
      (label) => {
        const [, colour] = new RegExp(`fill="(#[0-9a-f]{6})"/>\\n<text [^>]*>${label}<`).exec(svg) ?? [];
        expect([label, svg.includes(`<path fill="${colour}"`)]).toEqual([label, true]);
        return colour;
      },
    );
    expect(new Set(colours).size).toBe(3);
    for (const amount of ['1 MiB', '2 MiB', '4 MiB']) expect(svg).toContain(`>${amount} (`);
  });

  test.each([
    'x'.repeat(1000),
    'W'.repeat(300),
    '仮想ディスク・'.repeat(40),
    '🐧'.repeat(100),
    'a b '.repeat(99),
  ])('has no text that overlaps another or leaves the picture: %s', (long) => {
    const [first, ...others] = small.files;
    const files = [first!, ...others, { name: long, cells: first!.cells }];
    const svg = picture({ ...small, name: long, backingFiles: [long, long], files });
    const width = Number(/width="(\d+)"/.exec(svg)?.[1]);
    const texts = [
      ...svg.matchAll(/<text x="([\d.]+)" y="([\d.]+)" class="(\w+)( end)?[^"]*">([^<]*)</g),
    ].map(([, x, y, kind, end, escapedText]) => {
      const text = escapedText!.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
      const length = textWidth(text, kind as TextKind);
      const left = end === undefined ? Number(x) : Number(x) - length;
      return { text, y: Number(y), kind, left, right: left + length };
    });
    expect(texts.filter(({ text }) => text.includes('…')).length).toBeGreaterThanOrEqual(3);
    expect(texts.filter(({ left, right }) => left < 0 || right > width)).toEqual([]);
    for (const one of texts.filter(({ kind }) => kind !== 'mark')) {
      const over = texts.filter(
        (other) => other !== one && other.y === one.y && other.left >= one.left && other.left < one.right,
      );
      expect([one.text, over.filter(({ kind }) => kind !== 'mark')]).toEqual([one.text, []]);
    }
  });

  test('has no markup but its own', () => {
    const tags = [...picture(small).matchAll(/<\/?([a-z]+)/g)].map(([, tag]) => tag!);
    expect([...new Set(tags)].sort()).toEqual(['desc', 'g', 'path', 'rect', 'style', 'svg', 'text', 'title']);
  });

  test('closes every element', () => {
    const open: string[] = [];
    for (const [, end, tag, alone] of picture(small).matchAll(/<(\/?)([a-z]+)[^<>]*?(\/?)>/g)) {
      if (end === '/') expect(open.pop()).toBe(tag);
      else if (alone === '') open.push(tag!);
    }
    expect(open).toEqual([]);
  });

  test('stays small for every image', () => {
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
      'snapshotData',
      'slack',
      'leaked',
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

  test('of an empty image says so', () => {
    const nothing = { ...small, disk: new Cells<DiskKind>(0, 0, 512), virtualSize: 0 };
    expect(picture(nothing)).toContain('Empty');
  });
});
