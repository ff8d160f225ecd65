import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Concatenation } from '../../src/image/concatenation.js';
import { FakeSource } from './fake-source.js';

const stretches = fc.array(
  fc.record({
    kind: fc.constantFrom('zero' as const, 'data' as const),
    length: fc.integer({ min: 1, max: 30 }),
  }),
  { maxLength: 6 },
);

test('every byte of several sources is mapped to its own source, empty sources included', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(stretches, { minLength: 1, maxLength: 5 }), async (lists) => {
      const parts = lists.map((list, index) => new FakeSource(`s${index}`, list, index + 10));
      const joined = new Concatenation(parts);
      expect(joined.size).toBe(parts.reduce((sum, { size }) => sum + size, 0));
      let start = 0;
      for (const part of parts) {
        for (let offset = 0; offset < part.size; offset += 1) {
          expect(await joined.map(start + offset)).toEqual(await part.map(offset));
        }
        start += part.size;
      }
    }),
    { numRuns: 50 },
  );
});

test('no range extends past its own source', async () => {
  const parts = [
    new FakeSource('a', [{ kind: 'zero', length: 512 }]),
    new FakeSource('b', [{ kind: 'zero', length: 1024 }]),
  ];
  const joined = new Concatenation(parts);
  expect([await joined.map(0), await joined.map(512), await joined.map(1535)]).toEqual(
    [512, 1024, 1].map((length) => ({ kind: 'zero', length })),
  );
});

test.each([-1, 1024, 2 ** 40])('offset %i, outside of all sources, is a defect of the caller', (offset) => {
  const joined = new Concatenation([new FakeSource('a', [{ kind: 'data', length: 1024 }])]);
  expect(() => joined.map(offset)).toThrow(expect.objectContaining({ code: 'ERR_INTERNAL' }));
});

test('its name joins the names of all sources, and each descriptor is named by its own source', () => {
  const parts = [new FakeSource('a.raw', [], 5), new FakeSource('b.raw', [], 6)];
  const joined = new Concatenation(parts);
  expect(joined.name).toBe('a.raw + b.raw');
  expect([4, 5, 6].map((descriptor) => joined.fileOf(descriptor))).toEqual([undefined, 'a.raw', 'b.raw']);
});

test('every source is checked for changes; the first changed source is reported', async () => {
  const parts = ['a', 'b', 'c'].map((name) => new FakeSource(name, [{ kind: 'data', length: 512 }]));
  await new Concatenation(parts).refuseChanges();
  expect(parts.map(({ refused }) => refused)).toEqual([1, 1, 1]);
  for (const part of parts.slice(1)) {
    part.refuseChanges = () => Promise.reject(new Error(part.name));
  }
  await expect(new Concatenation(parts).refuseChanges()).rejects.toThrow('b');
});

test('every source is closed, also when closing one fails', async () => {
  const parts = ['a', 'b', 'c'].map((name) => new FakeSource(name, []));
  const first = parts[0]!;
  first.close = () => Promise.reject(new Error('EIO'));
  await expect(new Concatenation(parts).close()).rejects.toThrow('EIO');
  expect(parts.slice(1).map(({ closed }) => closed)).toEqual([1, 1]);
});
