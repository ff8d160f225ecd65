// The arithmetic behind the benchmark's verdicts. bench/ is plain JavaScript, hence the stated shapes.
import { describe, expect, it } from 'vitest';

interface Verdict {
  readonly value: number;
  readonly share: number;
  readonly reached: boolean;
}
type Figure = (results: ReadonlyMap<string, unknown>) => number;
interface BenchModules {
  readonly median: (values: readonly number[]) => number;
  readonly pairwise: (a: number[], b: number[], combine: (x: number, y: number) => number) => number;
  readonly judge: (bar: object, results: ReadonlyMap<string, unknown>) => Verdict;
  readonly ratio: (field: string, a: string, b: string) => Figure;
  readonly writesPerHostCluster: (side: string, clusterSize: number) => Figure;
  readonly table: (head: string[], rows: string[][], align: string) => string;
  readonly limit: (value: number, unit: string) => string;
}

const load = async (name: string): Promise<object> =>
  import(new URL(`../../bench/${name}.js`, import.meta.url).href);
const { median, pairwise, judge, ratio, writesPerHostCluster, table, limit } = {
  ...(await load('statistics')),
  ...(await load('bars')),
  ...(await load('report')),
  ...(await load('format')),
} as BenchModules;

const side = (wall: number[], size: number, writes = 0) => ({
  runs: wall.map((seconds) => ({ wall: seconds, cpu: 0, peak: 0, size })),
  writes,
});
const constant = (value: number) => () => value;

describe('medians', () => {
  it('takes the middle of an odd number of runs and the mean of two of an even number', () => {
    expect(median([9, 1, 5])).toBe(5);
    expect(median([10, 9, 1, 2])).toBe(5.5);
    expect(() => median([])).toThrow(RangeError);
  });

  it('pairs runs of the same round, so a slow round does not move the ratio', () => {
    expect(pairwise([1, 10, 1], [2, 20, 2], (x, y) => x / y)).toBe(0.5);
    expect(() => pairwise([1], [1, 2], (x, y) => x - y)).toThrow(RangeError);
  });
});

describe('bars', () => {
  const none = new Map();

  it('reaches an upper limit at the limit itself and misses it above', () => {
    const bar = { label: '', relation: 'at most', limit: 2, unit: 'ratio' };
    expect(judge({ ...bar, figure: constant(2) }, none)).toMatchObject({ reached: true, share: 1 });
    expect(judge({ ...bar, figure: constant(2.001) }, none).reached).toBe(false);
  });

  it('reaches a lower limit at the limit itself and misses it below', () => {
    const bar = { label: '', relation: 'at least', limit: 4, unit: 'times' };
    expect(judge({ ...bar, figure: constant(8) }, none)).toMatchObject({ reached: true, share: 0.5 });
    expect(judge({ ...bar, figure: constant(3.999) }, none).reached).toBe(false);
  });

  it('misses a bar whose figure is not a number', () => {
    const bar = { label: '', relation: 'at most', limit: 1, unit: 'ratio', figure: constant(Number.NaN) };
    expect(judge(bar, none).reached).toBe(false);
  });

  it('is content with either of two ways', () => {
    const missed = { label: '', relation: 'at most', limit: 1, unit: 'ratio', figure: constant(2) };
    const reached = { ...missed, figure: constant(1) };
    expect(judge({ ...missed, or: reached }, none).reached).toBe(true);
    expect(judge({ ...missed, or: missed }, none).reached).toBe(false);
  });

  it('computes ratios and writes for each host cluster from what was measured', () => {
    const results = new Map([
      ['a', side([1, 2, 3], 3 * 65536 - 512, 6)],
      ['b', side([4, 8, 12], 65536)],
    ]);
    expect(ratio('wall', 'b', 'a')(results)).toBe(4);
    expect(writesPerHostCluster('a', 65536)(results)).toBe(2);
    expect(() => ratio('wall', 'a', 'c')(results)).toThrow('c was not measured');
  });
});

describe('report', () => {
  it('writes a Markdown table with its alignment', () => {
    expect(table(['a', 'b'], [['1', '2']], 'lr')).toBe('| a | b |\n| --- | --: |\n| 1 | 2 |');
  });

  it('writes limits without needless zeros', () => {
    expect(limit(1.01, 'percent')).toBe('101 %');
    expect(limit(0.28, 'ratio')).toBe('0.28');
    expect(limit(12, 'times')).toBe('12 x');
    expect(limit(100 * 2 ** 20, 'bytes')).toBe('100 MiB');
  });
});
