import { expect, test } from 'vitest';
import { checkResultJson, checkResultText } from '../../../src/cli/check/result-text.js';
import { SOUND } from './check-result.js';

const BAD = {
  ...SOUND,
  corruptions: 3,
  leaks: 2,
  checkErrors: 1,
  allocatedClusters: 8,
  fragmentedClusters: 5,
  compressedClusters: 1,
};

test('a sound image gives two lines', () => {
  expect(checkResultText(SOUND)).toBe('No errors were found on the image.\nImage end offset: 262144\n');
});

test('errors are listed by kind, then the clusters', () => {
  expect(checkResultText(BAD)).toBe(
    '\n3 errors were found on the image.\n' +
      'Data may be corrupted, or further writes to the image may corrupt it.\n' +
      '\n2 leaked clusters were found on the image.\n' +
      'This means waste of disk space, but no harm to data.\n' +
      '\n1 internal errors have occurred during the check.\n' +
      '8/16 = 50.00% allocated, 62.50% fragmented, 12.50% compressed clusters\n' +
      'Image end offset: 262144\n',
  );
});

test('a tie is rounded to the even digit, as in C', () => {
  const percent = (fragmentedClusters: number, allocatedClusters: number) =>
    checkResultText({ ...SOUND, allocatedClusters, fragmentedClusters }).match(/, (.*)% fragmented/)?.[1];
  expect(percent(1, 800)).toBe('0.12');
  expect(percent(3, 800)).toBe('0.38');
  expect(percent(411, 480)).toBe('85.62');
  expect(percent(2, 800)).toBe('0.25');
  expect(percent(1, 3)).toBe('33.33');
  expect(percent(800, 800)).toBe('100.00');
});

test('checked data adds a line and two keys', () => {
  const result = { ...SOUND, data: { examined: 5, broken: 0 } };
  expect(checkResultText(result)).toContain('\nCompressed clusters examined: 5, broken: 0\n');
  expect(JSON.parse(checkResultJson(result, 'x'))).toMatchObject({
    'examined-clusters': 5,
    'broken-clusters': 0,
  });
});

test('JSON has qemu-img’s keys in its order, without those that are 0', () => {
  expect(checkResultJson(SOUND, 'ö".qcow2')).toBe(
    [
      '{',
      '    "image-end-offset": 262144,',
      '    "total-clusters": 16,',
      '    "check-errors": 0,',
      '    "filename": "\\u00F6\\".qcow2",',
      '    "format": "qcow2"',
      '}\n',
    ].join('\n'),
  );
  expect(JSON.parse(checkResultJson(BAD, 'x'))).toEqual({
    'image-end-offset': 262144,
    'total-clusters': 16,
    'check-errors': 1,
    corruptions: 3,
    leaks: 2,
    'allocated-clusters': 8,
    'fragmented-clusters': 5,
    'compressed-clusters': 1,
    filename: 'x',
    format: 'qcow2',
  });
});

test('leaks are not called harmless if a table could not be read', () => {
  const text = checkResultText({ ...SOUND, leaks: 2, unreadTables: 1 });
  expect(text).toMatch(/^They may be in use: /m);
  expect(text).not.toMatch(/no harm/);
});
