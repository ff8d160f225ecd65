import { expect, test } from 'vitest';
import { UnreadableLog } from '../../src/convert/unreadable-log.js';
import { unreadable } from '../image/fake-layer.js';

const range = (guestOffset: number, length: number, file = 'x') => ({
  guestOffset,
  length,
  error: unreadable(file, guestOffset),
});

function logged() {
  const told: [number, number, string | undefined][] = [];
  const log = new UnreadableLog(({ guestOffset, length, error }) =>
    told.push([guestOffset, length, error.file]),
  );
  return { log, told };
}

test('expected ranges and ranges found by workers are reported in guest order, when their item is done', () => {
  const { log, told } = logged();
  log.expect(range(10, 5));
  log.expect(range(30, 5));
  log.expect(range(120, 200));
  expect([told.length, log.bytes]).toEqual([0, 0]);
  log.itemDone([range(40, 1, 'w'), range(20, 1, 'w')], 100);
  expect(told).toEqual([
    [10, 5, 'x'],
    [20, 1, 'w'],
    [30, 5, 'x'],
    [40, 1, 'w'],
  ]);
  log.itemDone([], 120);
  expect(told.length).toBe(4);
  log.itemDone([range(350, 2, 'w')], 400);
  expect(told.slice(4)).toEqual([
    [120, 200, 'x'],
    [350, 2, 'w'],
  ]);
  expect(log.bytes).toBe(12 + 202);
});

test('a range expected twice is reported once, including its new part', () => {
  const { log, told } = logged();
  log.expect(range(10, 10));
  log.expect(range(10, 10));
  log.expect(range(15, 5));
  log.expect(range(15, 10));
  log.itemDone([], 12);
  log.expect(range(12, 4));
  log.end();
  expect(told).toEqual([
    [10, 10, 'x'],
    [20, 5, 'x'],
  ]);
  expect(log.bytes).toBe(15);
});

test('ranges without an item are reported at the end, and counted without a listener', () => {
  const { log, told } = logged();
  log.expect(range(10, 10));
  log.end();
  expect(told).toEqual([[10, 10, 'x']]);
  const silent = new UnreadableLog(undefined);
  silent.expect(range(10, 10));
  silent.itemDone([range(50, 1)], 60);
  silent.end();
  expect(silent.bytes).toBe(11);
});
