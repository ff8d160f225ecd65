/** The end of a zstd frame, by the bits of RFC 8878, section 3.1.1. */
import { expect, test } from 'vitest';
import { readZstdFrame, readZstdFrames } from '../../src/engines/zstd-frame.js';

const MAGIC = [0x28, 0xb5, 0x2f, 0xfd];

/** A block header, three bytes little-endian: bit 0 last block, bits 1 and 2 type, the rest its size. */
const block = (last: 0 | 1, type: number, size: number) => {
  const bits = size * 8 + type * 2 + last;
  return [bits & 0xff, (bits >> 8) & 0xff, bits >> 16];
};
const [RAW, RLE, COMPRESSED] = [0, 1, 2];
const bytes = (length: number) => new Array<number>(length).fill(0x77);

test.each([
  ['a window descriptor and no content size', [0x00, ...bytes(1)]],
  ['a single segment: no window descriptor, content size of 1 byte', [0x20, ...bytes(1)]],
  ['a window descriptor and a content size of 2 bytes', [0x40, ...bytes(1 + 2)]],
  ['a single segment with a content size of 2 bytes', [0x60, ...bytes(2)]],
  ['a window descriptor and a content size of 4 bytes', [0x80, ...bytes(1 + 4)]],
  ['a single segment with a content size of 8 bytes', [0xe0, ...bytes(8)]],
  ['a dictionary identifier of 1 byte', [0x01, ...bytes(1 + 1)]],
  ['a dictionary identifier of 2 bytes', [0x22, ...bytes(2 + 1)]],
  ['a dictionary identifier of 4 bytes', [0x03, ...bytes(1 + 4)]],
])('frame header: %s', (_, header) => {
  const frame = [...MAGIC, ...header, ...block(1, RAW, 5), ...bytes(5)];
  expect(readZstdFrame(Uint8Array.from([...frame, ...bytes(9)])).length).toBe(frame.length);
});

test('blocks are followed to the last one, and an RLE block takes one byte', () => {
  const frame = [
    ...[...MAGIC, 0x00, 0x50],
    ...[...block(0, COMPRESSED, 300), ...bytes(300)],
    ...[...block(0, RLE, 100_000), 0xaa],
    ...block(1, RAW, 0),
  ];
  expect(readZstdFrame(Uint8Array.from([...frame, ...bytes(9)])).length).toBe(frame.length);
});

test('a size that uses all three bytes of a block header is read completely', () => {
  const frame = [...MAGIC, 0x00, 0x50, ...block(1, RAW, 0x1f0f0), ...bytes(0x1f0f0)];
  expect(readZstdFrame(Uint8Array.from(frame)).length).toBe(frame.length);
});

test('a checksum belongs to the frame', () => {
  const frame = [...MAGIC, 0x04, 0x50, ...block(1, RLE, 9), 0xaa, ...bytes(4)];
  expect(readZstdFrame(Uint8Array.from([...frame, ...bytes(9)])).length).toBe(frame.length);
});

test('a frame truncated anywhere is corrupt', () => {
  const frame = [
    ...MAGIC,
    0x04,
    0x50,
    ...block(0, RAW, 5),
    ...bytes(5),
    ...block(1, RLE, 9),
    0xaa,
    ...bytes(4),
  ];
  for (let length = 0; length < frame.length; length += 1) {
    expect(() => readZstdFrame(Uint8Array.from(frame.slice(0, length))), `${length} bytes`).toThrow(
      expect.objectContaining({ code: 'ERR_CORRUPT' }),
    );
  }
});

test('anything but a frame is corrupt', () => {
  expect(() => readZstdFrame(new Uint8Array(100))).toThrow(expect.objectContaining({ code: 'ERR_CORRUPT' }));
});

test.each([
  ['the smallest window', [0x00, 0x00], 1024],
  ['eighths of a window', [0x00, 0x57], 2 ** 20 * 1.875],
  ['the largest window', [0x00, 0xff], 2 ** 41 * 1.875],
  ['a window beside a content size of 2 bytes', [0x40, 0x30, 0, 0], 65536],
  ['a single segment with a content size of 1 byte', [0x20, 200], 200],
  ['a single segment with a content size of 2 bytes', [0x60, 0x00, 0xff], 0xff00 + 256],
  ['a single segment with a content size of 4 bytes', [0xa0, 0, 0, 1, 0], 65536],
  ['a single segment with a content size of 8 bytes', [0xe0, 0, 0, 1, 0, 1, 0, 0, 0], 2 ** 32 + 65536],
  ['a single segment after a dictionary identifier', [0x21, 0x77, 200], 200],
])('the window: %s', (_, header, window) => {
  const frame = [...MAGIC, ...header, ...block(1, RAW, 5), ...bytes(5)];
  expect(readZstdFrame(Uint8Array.from(frame))).toEqual({
    length: frame.length,
    window,
    hasChecksum: false,
  });
});

test('a checksum of the content is detected', () => {
  const frame = [...MAGIC, 0x04, 0x00, ...block(1, RAW, 5), ...bytes(5 + 4)];
  expect(readZstdFrame(Uint8Array.from(frame))).toMatchObject({
    length: frame.length,
    hasChecksum: true,
  });
});

test('frame types are distinguished; skippable frames have no content', () => {
  const skippable = [0x5f, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
  const empty = [...MAGIC, 0x00, 0x50, ...block(1, RAW, 0)];
  const checked = [...MAGIC, 0x04, 0x58, ...block(1, RLE, 9), 0xaa, ...bytes(4)];
  const all = Uint8Array.from([...skippable, ...empty, ...skippable, ...checked]);
  expect(readZstdFrames(all)).toEqual([
    { length: empty.length, window: 2 ** 20, hasChecksum: false },
    { length: checked.length, window: 2 ** 21, hasChecksum: true },
  ]);
  for (const cut of [5, 9, skippable.length + 5, all.length - 1]) {
    expect(() => readZstdFrames(all.subarray(0, cut)), `${cut} bytes`).toThrow(
      expect.objectContaining({ code: 'ERR_CORRUPT' }),
    );
  }
});
