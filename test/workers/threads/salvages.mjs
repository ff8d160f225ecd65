// Answers with an unreadable part. The reason is in the item's `segments`.
import { serve } from './serve.mjs';

serve(() => ({ segments }) => {
  const unreadable = [{ at: 1024, length: 4096, failure: segments }];
  return { sizes: Uint32Array.of(0), copied: 0, subclusters: undefined, unreadable };
});
