/** A short soak, which goes through every kind of conversion, and the judge of the samples of a long one. */
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { useScratch } from '../e2e/scratch.js';
import { run } from '../oracle/run.js';

const path = useScratch();
const SOAK = fileURLToPath(new URL('./soak.js', import.meta.url));

type Sample = Readonly<Record<string, number>>;
/** The soak is plain JavaScript, hence the stated shape. */
const { complaints } = (await import(new URL('./trend.js', import.meta.url).href)) as {
  readonly complaints: (samples: readonly Sample[], most: Sample) => string[];
};

test('each kind of conversion and command twice in one process: they end as they should, and nothing stays open', async () => {
  const env = { QCOW2C_SOAK_CONVERSIONS: '80', QCOW2C_SOAK_DIR: path('') };
  const { status, stdout, stderr } = await run(process.execPath, ['--expose-gc', SOAK], { env });
  expect({ status, stderr, wrong: stdout.match(/^WRONG.*$/gm) }).toEqual({
    status: 0,
    stderr: '',
    wrong: null,
  });
});

/** 40 samples, resident memory going up and down by 10 MiB. */
function samples(of: (conversions: number) => Sample): Sample[] {
  return Array.from({ length: 40 }, (_, index) => {
    const resident = 120_000 + 5_000 * Math.sin(3 * index);
    const held = {
      descriptors: 20,
      threads: 11,
      listeners: 7,
      signalListeners: 0,
      mappings: 300,
    };
    const conversions = 50 * (index + 1);
    const more = of(conversions);
    return {
      ...held,
      conversions,
      resident: resident + (more['resident'] ?? 0),
      ...without(more, 'resident'),
    };
  });
}
const without = ({ ...sample }: Record<string, number>, name: string) => {
  delete sample[name];
  return sample;
};

test.each<[string, (conversions: number) => Sample, string[]]>([
  ['nothing', () => ({}), []],
  ['resources from the start', (done) => ({ resident: Math.min(done, 400) * 100 }), []],
  ['20 KiB with each conversion', (done) => ({ resident: 20 * done }), ['resident']],
  ['a descriptor at the end', (done) => ({ descriptors: done === 2000 ? 21 : 20 }), ['descriptors']],
  ['a listener', (done) => ({ signalListeners: done }), ['signalListeners']],
  ['a mapping with every third', (done) => ({ mappings: 300 + done / 3 }), ['mappings']],
])('%s: growth is distinguished from noise', (_, of, expected) => {
  const found = complaints(samples(of), { resident: 10, mappings: 0.25 });
  expect(found.map((line) => /^\w+/.exec(line)?.[0])).toEqual(expected);
});
