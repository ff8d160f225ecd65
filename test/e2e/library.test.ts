/** The library as a program imports it: many conversions in one process, typed, silent, nothing left open. */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { beforeAll, describe, expect, test } from 'vitest';
import { run } from '../oracle/run.js';
import { longTest } from '../stage.js';
import { ROOT } from './cli.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { makeMixedDisk } from './source-images.js';

const path = useScratch();
const raw = path('mixed.raw');
const out = path('out');

interface Seen {
  readonly error?: Record<string, unknown>;
  readonly result?: Record<string, unknown>;
}
interface Report {
  readonly several: readonly Seen[];
  readonly progress: readonly { guestBytesDone: number; guestBytes: number }[];
  readonly signalListeners: number;
  readonly openFiles: readonly string[];
  readonly [name: string]: unknown;
}
let report: Report;

beforeAll(async () => {
  await makeMixedDisk(raw);
  mkdirSync(out);
  mkdirSync(path('node_modules', '@types'), { recursive: true });
  symlinkSync(ROOT, path('node_modules', 'qcow2c'));
  symlinkSync(join(ROOT, 'node_modules', '@types', 'node'), path('node_modules', '@types', 'node'));
  symlinkSync(join(ROOT, 'node_modules', 'undici-types'), path('node_modules', 'undici-types'));
  copyFileSync(fileURLToPath(new URL('./library-user.mjs', import.meta.url)), path('user.mjs'));
  const { status, signal, stdout, stderr } = await run(process.execPath, [path('user.mjs'), raw, out]);
  // Anything the library printed itself would be here too.
  expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
  report = JSON.parse(stdout) as Report;
});

describe('import { convert } from "qcow2c"', () => {
  test('a change of the working directory during a conversion changes nothing', async () => {
    expect(report['moved']).toMatchObject({ result: { verifiedFrom: expect.any(String) } });
    await expectGoodImage(join(out, 'moved.qcow2'), raw);
  });

  test('a name in bytes is refused', () => {
    const error = { typed: true, code: 'ERR_USAGE', message: expect.stringContaining("'sources[0]'") };
    expect(report['bytes']).toMatchObject({ error });
  });

  test('several conversions at once each make a correct image and report their own results', async () => {
    expect(report.several.map(({ error }) => error)).toEqual([undefined, undefined, undefined, undefined]);
    for (const index of [0, 1, 2, 3]) await expectGoodImage(join(out, `several-${index}.qcow2`), raw);
    expect(report.several.map(({ result }) => result?.['clusterSize'])).toEqual([
      65_536, 65_536, 4096, 65_536,
    ]);
    expect(report.several.map(({ result }) => result?.['engine'])).toEqual([
      'libdeflate',
      'libzstd',
      'libdeflate',
      undefined,
    ]);
  });

  test('progress rises to the whole', () => {
    const done = report.progress.map(({ guestBytesDone }) => guestBytesDone);
    expect(done).toEqual([...done].sort((a, b) => a - b));
    expect(done.at(-1)).toBe(report.progress.at(-1)?.guestBytes);
    expect(done.length).toBeGreaterThan(5);
  });

  test('an AbortSignal ends a conversion before or during it, and has no effect afterwards', () => {
    const aborted = { error: { name: 'AbortError', code: 'ERR_ABORTED', typed: true } };
    expect(report['abortedBefore']).toMatchObject(aborted);
    expect(report['abortedDuring']).toMatchObject(aborted);
    expect(report['abortedAfter']).toHaveProperty('result');
  });

  test('errors are typed, with a stable code, the file and the system’s reason', () => {
    expect(report['missingSource']).toMatchObject({
      error: { code: 'ERR_IO', typed: true, file: '/none/at/all', systemCode: 'ENOENT' },
    });
    expect(report['badValue']).toMatchObject({ error: { code: 'ERR_USAGE', typed: true } });
    expect(report['noSources']).toMatchObject({ error: { code: 'ERR_USAGE', typed: true } });
  });

  test('a conversion after failed ones works, and no open file, listener or temporary file is left', async () => {
    expect(report['again']).toHaveProperty('result');
    await expectGoodImage(join(out, 'again.qcow2'), raw);
    expect(report.openFiles).toEqual([]);
    expect(report.signalListeners).toBe(0);
    expect(readdirSync(out).sort()).toEqual([
      'after.qcow2',
      'again.qcow2',
      'moved.qcow2',
      'progress.qcow2',
      ...[0, 1, 2, 3].map((index) => `several-${index}.qcow2`),
    ]);
  });
});

test('the example of docs/library.md works', async () => {
  const text = readFileSync(join(ROOT, 'docs', 'library.md'), 'utf8');
  const example = /```js\n(.*?)```/s.exec(text)?.[1] ?? '';
  writeFileSync(path('example.mjs'), example);
  copyFileSync(raw, path('disk.raw'));
  const { status, stdout, stderr } = await run(process.execPath, ['example.mjs'], { cwd: path('') });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout).toMatch(/^(\d+ \d+\n)+$/);
});

longTest('the declarations of the package suit a strict program, and catch a wrong one', () => {
  const program = path('program.mts');
  writeFileSync(
    program,
    `import { convert, mapImage, Qcow2cError, type ConvertOptions, type ConvertResult, type Progress } from 'qcow2c';
    import { Readable } from 'node:stream';
    const show = ({ guestBytesDone }: Progress): void => void guestBytesDone;
    const options: ConvertOptions = { sources: ['a', { stream: Readable.from([]) }], target: 'b', onProgress: show };
    export const result: Promise<ConvertResult> = convert(options);
    export const code = (error: unknown) => (error instanceof Qcow2cError ? error.code : undefined);
    for await (const { start } of mapImage({ image: 'a' })) start.toFixed();
    // @ts-expect-error
    export const wrongValue: ConvertOptions = { sources: ['a'], target: 'b', targetCache: 'fast' };
    // @ts-expect-error
    export const misspelt: ConvertOptions = { sources: ['a'], target: 'b', thread: 2 };
    // @ts-expect-error
    mapImage({ image: 7 });`,
  );
  const { NodeNext: module } = ts.ModuleKind;
  const strict = { noEmit: true, strict: true, exactOptionalPropertyTypes: true, skipLibCheck: true };
  const target = ts.ScriptTarget.ES2023;
  const compiled = ts.createProgram([program], { ...strict, module, target, lib: ['lib.es2023.d.ts'] });
  const problems = [
    ...ts.getPreEmitDiagnostics(compiled, compiled.getSourceFile(program)),
    ...compiled.getGlobalDiagnostics(),
  ];
  expect(problems.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, ' '))).toEqual([]);
  expect(compiled.getSourceFile(join(ROOT, 'dist', 'index.d.ts'))).toBeDefined();
});
