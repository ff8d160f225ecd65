/** Page-aligned working memory of a worker thread. A thread serves one pool at a time, and the next one reuses it. */
import { alignedMemory } from '../../system/aligned-memory.js';
import { BufferPool } from '../../system/buffer-pool.js';

export const threadMemory = new BufferPool<Uint8Array>(alignedMemory);
