import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BackingChain } from '../../src/image/backing-chain.js';
import type { Layer } from '../../src/image/source.js';
import { tries } from '../stage.js';
import { FakeLayer, meaningOf, meaningsOf, stretchesOf } from './fake-layer.js';

const KINDS = ['unallocated', 'zero', 'data', 'compressed', 'unreadable'] as const;
const layersOf = (...layers: Layer[]) => layers as [Layer, ...Layer[]];

test('every byte comes from the topmost layer that allocates it, for layers of any sizes', async () => {
  const stack = fc.array(stretchesOf(KINDS), { minLength: 1, maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(stack, fc.array(fc.nat(400), { maxLength: 5 }), async (lists, places) => {
      const layers = lists.map((list, index) => new FakeLayer(`l${index}`, list, index + 10));
      const own = await Promise.all(layers.map((layer) => meaningsOf(layer)));
      const expected = (own[0] ?? []).map((_, at) => {
        for (const meanings of own) {
          const meaning = meanings[at];
          // Past the end of a layer are zeros, even if layers below have data there.
          if (meaning === undefined) return 'zero';
          if (meaning !== 'unallocated') return meaning;
        }
        return 'zero';
      });
      const chain = new BackingChain(layersOf(...layers));
      expect(chain.size).toBe(layers[0]?.size);
      expect(await meaningsOf(chain)).toEqual(expected);
      for (const place of places) {
        if (place >= chain.size) continue;
        const range = await chain.map(place);
        expect(meaningOf(range, 0)).toBe(expected[place]);
        expect(meaningOf(range, range.length - 1)).toBe(expected[place + range.length - 1]);
      }
    }),
    { numRuns: tries(300) },
  );
});

test('a layer is asked for each range once', async () => {
  const MIB = 2 ** 20;
  const pieces = Array.from({ length: 200 }, (_, index) => ({
    kind: index % 2 === 0 ? ('compressed' as const) : ('zero' as const),
    length: 20,
  }));
  // Scanning the tables to the end for each range would take quadratic time.
  const top = new FakeLayer('top', [{ kind: 'unallocated', length: 4000 }]);
  const base = new FakeLayer('base', pieces);
  const chain = new BackingChain([top, base]);
  await meaningsOf(chain);
  expect(top.asked).toEqual([0]);
  expect(base.asked.length).toBe(200);
  // In steps smaller than the range, as items do.
  const data = new FakeLayer('data', [{ kind: 'data', length: MIB }]);
  const single = new BackingChain([data]);
  for (let at = 0; at < MIB; at += 4096) {
    expect(await single.map(at)).toEqual({
      kind: 'data',
      length: MIB - at,
      descriptor: 77,
      offset: at + 1000,
    });
  }
  expect(data.asked).toEqual([0]);
});

test('an error of a layer’s map is thrown by the chain, and not cached', async () => {
  const top = new FakeLayer('top', [{ kind: 'unallocated', length: 10 }]);
  const base = new FakeLayer('base', [{ kind: 'data', length: 10 }]);
  const { map } = base;
  base.map = () => Promise.reject(new Error('EIO'));
  const chain = new BackingChain([top, base]);
  await expect(chain.map(0)).rejects.toThrow('EIO');
  base.map = map;
  expect(await chain.map(0)).toMatchObject({ kind: 'data', length: 10 });
});

describe('all layers', () => {
  const three = () => ['a', 'b', 'c'].map((name, index) => new FakeLayer(name, [], index + 10));

  test('are checked for changes; the first changed layer is reported', async () => {
    const layers = three();
    const chain = new BackingChain(layersOf(...layers));
    await chain.refuseChanges();
    expect(layers.map(({ refused }) => refused)).toEqual([1, 1, 1]);
    for (const layer of layers.slice(1)) layer.refuseChanges = () => Promise.reject(new Error(layer.name));
    await expect(chain.refuseChanges()).rejects.toThrow('b');
  });

  test('are closed, also when closing one fails', async () => {
    const layers = three();
    layers[0]!.close = () => Promise.reject(new Error('EIO'));
    await expect(new BackingChain(layersOf(...layers)).close()).rejects.toThrow('EIO');
    expect(layers.slice(1).map(({ closed }) => closed)).toEqual([1, 1]);
  });

  test('name their own descriptors; the chain has the name of the topmost', () => {
    const chain = new BackingChain(layersOf(...three()));
    expect([9, 10, 11, 12].map((descriptor) => chain.fileOf(descriptor))).toEqual([undefined, 'a', 'b', 'c']);
    expect(chain.name).toBe('a');
  });
});
