// Uses the library on the main thread and in two worker threads at once; run by library-in-threads.test.ts with the
// library's file, a sparse raw disk and a directory. Prints one JSON object: what each thread saw, and whether fs-ext
// was loaded.
import { join } from 'node:path';
import { isMainThread, parentPort, threadId, Worker, workerData } from 'node:worker_threads';

const ROUNDS = 2;
const [library, raw, directory] = isMainThread ? process.argv.slice(2) : workerData;
const { check, compare, convert, imageInfo, mapImage, measure } = await import(library);
const source = { file: raw, format: 'raw' };

async function useLibrary() {
  const target = join(directory, `thread-${threadId}.qcow2`);
  const image = { file: target, format: 'qcow2' };
  const seen = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const [{ format }] = await imageInfo({ image: source });
    await convert({ sources: [source], target, compress: true, threads: 2 });
    const { verdict } = await compare({ images: [source, image], threads: 1 });
    const { corruptions } = await check({ image, data: true, threads: 1 });
    const { required } = await measure({ source, targetFormat: 'qcow2' });
    const ranges = [];
    for await (const { data } of mapImage({ image: source })) ranges.push(data ? 'data' : 'hole');
    seen.push({ format, verdict: verdict.kind, corruptions, measured: required > 0, ranges });
  }
  return seen;
}

if (isMainThread) {
  // The main thread has loaded the packages before the others begin, and goes on beside them.
  await imageInfo({ image: source });
  const workers = [1, 2].map(async () => {
    const worker = new Worker(new URL(import.meta.url), { workerData: [library, raw, directory] });
    return new Promise((resolve, reject) => {
      worker.once('message', resolve).once('error', reject);
      worker.once('exit', (code) => reject(new Error(`the thread ended with ${code}`)));
    });
  });
  const [main, ...others] = await Promise.all([useLibrary(), ...workers]);
  const fsExt = process.report.getReport().sharedObjects.some((file) => file.endsWith('fs_ext.node'));
  console.log(JSON.stringify({ main, others, fsExt }));
} else {
  parentPort.postMessage(await useLibrary());
}
