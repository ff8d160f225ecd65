/** The bytes that QEMU reads from each guest cluster. */
import { readFile, rm } from 'node:fs/promises';
import { run } from '../oracle/run.js';

/** @returns for each cluster its bytes, or undefined where reading it fails */
export async function qemuReads(
  image: string,
  clusters: number,
  clusterSize: number,
): Promise<(Buffer | undefined)[]> {
  const indices = Array.from({ length: clusters }, (_, index) => index);
  const commands = indices.flatMap((index) => ['-c', `read ${index * clusterSize} ${clusterSize}`]);
  const { stdout, stderr } = await run('qemu-io', ['-r', '-f', 'qcow2', ...commands, image]);
  const fails = stdout
    .split('\n')
    .filter((line) => /^read/.test(line))
    .map((line) => line.startsWith('read failed'));
  if (fails.length !== clusters) throw new Error(`${clusters} reads, ${fails.length} answers: ${stderr}`);
  const raw = `${image}.salvaged`;
  // Fails for the clusters that cannot be read, and goes on.
  await run('qemu-img', ['convert', '--salvage', '-f', 'qcow2', '-O', 'raw', image, raw]);
  const disk = await readFile(raw);
  await rm(raw);
  return fails.map((failed, index) =>
    failed ? undefined : disk.subarray(index * clusterSize, (index + 1) * clusterSize),
  );
}
