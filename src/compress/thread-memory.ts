/** Page-aligned working memory of a worker thread, which has one run at a time and uses it in the next one again. */
import { alignedMemory } from '../storage/aligned-memory.js';
import { KeptMemory } from '../storage/kept-memory.js';

export const threadMemory = new KeptMemory<Uint8Array>(alignedMemory);
