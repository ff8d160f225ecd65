/** 7-Zip: an independent reader of qcow2, stricter than qemu-img about the bytes around the clusters. */
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './run.js';

interface Extraction {
  /** 7-Zip said "Everything is Ok". */
  readonly ok: boolean;
  /** Every line with a warning or an error. */
  readonly complaints: readonly string[];
  /** The extracted disk, a raw image. */
  readonly disk: string;
}

/** Extracts the disk of a qcow2 image (deflate only) into the directory `into`, which is made. */
export async function extract(image: string, into: string): Promise<Extraction> {
  await mkdir(into);
  const { status, stdout, stderr } = await run('7z', ['x', '-tQCOW', '-bd', `-o${into}`, image]);
  const lines = `${stdout}\n${stderr}`.split('\n');
  const names = await readdir(into);
  if (names.length !== 1)
    throw new Error(`7z extracted ${names.length} files from ${image}: ${lines.join('\n')}`);
  return {
    ok: status === 0 && lines.includes('Everything is Ok'),
    complaints: lines.filter((line) => /warning|error|after the end/i.test(line)),
    disk: join(into, names[0]!),
  };
}
