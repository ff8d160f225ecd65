/** The clusters that an image itself holds something for, by `qemu-img map`. */
import { map } from '../oracle/qemu-img.js';

/** @returns guest offsets, ascending */
export async function storedClusters(file: string, clusterSize: number): Promise<number[]> {
  const clusters = new Set<number>();
  for (const { start, length, depth, present } of await map(file, 'qcow2')) {
    if (depth !== 0 || !present) continue;
    for (let at = start - (start % clusterSize); at < start + length; at += clusterSize) clusters.add(at);
  }
  return [...clusters].sort((a, b) => a - b);
}
