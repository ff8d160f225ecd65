/** Page-aligned working memory of a worker thread, which has one run at a time and uses it in the next one again. */
import { alignedMemory } from '../../system/aligned-memory.js';
import { BufferPool } from '../../system/buffer-pool.js';

export const threadMemory = new BufferPool<Uint8Array>(alignedMemory);
