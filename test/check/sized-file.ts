/** A file in memory with a length in whole sectors, as the check needs it. */
import { MemoryFile } from '../qcow2/memory-file.js';

export class SizedFile extends MemoryFile {
  get size(): number {
    return Math.ceil(this.length / 512) * 512;
  }
}
