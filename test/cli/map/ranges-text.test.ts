import { describe, expect, test } from 'vitest';
import { HUMAN_TEXT, JsonText } from '../../../src/cli/map/ranges-text.js';
import type { MapRange } from '../../../src/index.js';

const DATA: MapRange = {
  start: 0,
  length: 65536,
  depth: 0,
  present: true,
  zero: false,
  data: true,
  compressed: false,
  offset: 327680,
  file: 'x.qcow2',
};

describe('the table', () => {
  test('has rows as wide as those of qemu-img', () => {
    expect(HUMAN_TEXT.begin + HUMAN_TEXT.of(DATA) + HUMAN_TEXT.end).toBe(
      'Offset          Length          Mapped to       File\n' +
        '0               0x10000         0x50000         x.qcow2\n',
    );
  });

  test('omits ranges that read as zeros', () => {
    expect(HUMAN_TEXT.of({ ...DATA, data: false, zero: true, offset: undefined, file: undefined })).toBe('');
    expect(HUMAN_TEXT.of({ ...DATA, zero: true })).toBe('');
    expect(HUMAN_TEXT.of({ ...DATA, length: 0, data: false, present: false, offset: undefined })).toBe('');
  });

  test('escapes a name with control characters or line ends', () => {
    expect(HUMAN_TEXT.of({ ...DATA, file: 'a\n0\u001b[2J' })).toMatch(/ a\\x0a0\\x1b\[2J\n$/);
  });

  test('refuses a compressed cluster', () => {
    expect(() => HUMAN_TEXT.of({ ...DATA, compressed: true, offset: undefined })).toThrow(
      'File contains external, encrypted or compressed clusters; use --output=json to list them',
    );
  });
});

test('the list has one object per line, with the offset last if present', () => {
  const text = new JsonText();
  const all =
    text.begin +
    text.of(DATA) +
    text.of({ ...DATA, start: 65536, compressed: true, offset: undefined }) +
    text.end;
  expect(all).toBe(
    '[{ "start": 0, "length": 65536, "depth": 0, "present": true, "zero": false, "data": true, ' +
      '"compressed": false, "offset": 327680},\n' +
      '{ "start": 65536, "length": 65536, "depth": 0, "present": true, "zero": false, "data": true, ' +
      '"compressed": true}]\n',
  );
  expect(JSON.parse(all)).toHaveLength(2);
});
