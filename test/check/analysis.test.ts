import { beforeAll, describe, expect, test } from 'vitest';
import { type AnalysisOptions, analyse } from '../../src/check/analysis.js';
import { type CheckedImage, readCheckedImage } from '../../src/check/checked-image.js';
import { findingWords } from '../../src/check/finding-words.js';
import type { CheckTotals } from '../../src/check/findings.js';
import { openForReading, RawSource } from '../../src/raw/raw-source.js';
import { useScratch } from '../e2e/scratch.js';
import { sample } from '../stage.js';
import { baseImage } from './corrupt-bases.js';
import { COPIED, HEADER, ImageBytes } from './corrupt-image-bytes.js';
import { CORRUPT_IMAGES } from './corrupt-images.js';
import { FAR_CORRUPTIONS } from './far-corruptions.js';
import { SizedFile } from './sized-file.js';

const scratch = useScratch();

interface Analysed {
  readonly totals: CheckTotals | string;
  readonly words: readonly string[];
}

async function analysed(image: CheckedImage, options: AnalysisOptions = {}): Promise<Analysed> {
  const words: string[] = [];
  const onFinding: AnalysisOptions['onFinding'] = (finding) => {
    words.push(findingWords(finding, image.geometry.clusterBits));
  };
  const totals = await analyse(image, { onFinding, ...options }).catch((error: Error) => error.message);
  return { totals, words };
}

/** The image that `make` makes, or the reason why it cannot be opened. */
async function opened(make: (path: string) => Promise<void>): Promise<CheckedImage | undefined> {
  const path = scratch('image.qcow2');
  await make(path);
  const { descriptor } = await openForReading(path, false);
  const file = await RawSource.open(descriptor, path);
  const bytes = new Uint8Array(file.size);
  const length = await file.read(0, bytes);
  await file.close();
  return readCheckedImage(new SizedFile(bytes.subarray(0, length))).catch(() => undefined);
}

describe('in several windows', () => {
  test.each(sample([...CORRUPT_IMAGES, ...FAR_CORRUPTIONS], 24))(
    'finds the same in $name',
    async ({ make }) => {
      const image = await opened(make);
      if (image === undefined) return;
      const clusters = image.file.size / image.geometry.clusterSize;
      const whole = await analysed(image);
      const parts = await analysed(image, { windowClusters: 8 * Math.ceil(clusters / 32) });
      expect(parts.totals).toEqual(whole.totals);
      // An error that ends the analysis of one window ends all.
      if (typeof whole.totals !== 'string') expect([...parts.words].sort()).toEqual([...whole.words].sort());
    },
  );
});

describe('an image with many faults', () => {
  let image: CheckedImage;
  let file: SizedFile;
  beforeAll(async () => {
    const bytes = new ImageBytes(await baseImage({}));
    // 2^22 L1 entries, as many as QEMU takes: each an L2 table far past the end of the file.
    const l1 = bytes.append(4);
    bytes.setU64(HEADER.l1Offset, BigInt(l1));
    bytes.setU32(HEADER.l1Size, 2 ** 15);
    for (let index = 0; index < 2 ** 15; index += 1) bytes.setU64(l1 + index * 8, COPIED | (1n << 55n));
    file = new SizedFile(bytes.bytes);
    image = await readCheckedImage(file);
  });

  test('is reported finding by finding, each after the previous callback has returned', async () => {
    let taking = 0;
    let most = 0;
    let count = 0;
    const totals = await analyse(image, {
      onFinding: async () => {
        taking += 1;
        most = Math.max(most, taking);
        if (count % 1024 === 0) await new Promise((resolve) => setImmediate(resolve));
        count += 1;
        taking -= 1;
      },
    });
    expect(most).toBe(1);
    expect(totals.corruptions).toBeGreaterThanOrEqual(2 ** 16);
    expect(count).toBeGreaterThanOrEqual(2 ** 16);
  });

  test('is read in pieces, and not past its end', async () => {
    file.reads.length = 0;
    await analyse(image);
    expect(Math.max(...file.reads.map(({ length }) => length))).toBeLessThanOrEqual(2 ** 20);
    expect(Math.max(...file.reads.map(({ offset }) => offset))).toBeLessThan(file.size);
  });

  test('can be cancelled in the middle', async () => {
    const aborted = new AbortController();
    let count = 0;
    const analysis = analyse(await readCheckedImage(new SizedFile(await baseImage({}))), {
      onShare: () => aborted.abort(),
      signal: aborted.signal,
      onFinding: () => {
        count += 1;
      },
    });
    await expect(analysis).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect(count).toBe(0);
  });
});

test('the reported progress grows from 0 to 1, for any windows', async () => {
  const image = await readCheckedImage(new SizedFile(await baseImage({ with: 'snapshots' })));
  for (const windowClusters of [8, 2 ** 24]) {
    const shares: number[] = [];
    await analyse(image, { windowClusters, onShare: (share) => shares.push(share) });
    expect(shares).toEqual([...shares].sort((one, other) => one - other));
    expect(shares.at(-1)).toBe(1);
  }
});

test('more host clusters than QEMU counts are refused', async () => {
  const bytes = await baseImage({ clusterSize: 512 });
  const image = await readCheckedImage(new SizedFile(bytes, 2 ** 40));
  await expect(analyse(image)).rejects.toMatchObject({ code: 'ERR_LIMIT' });
});
