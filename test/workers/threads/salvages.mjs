// Answers that a part could not be read, for the reason that the item carries in place of its segments.
import { serve } from './serve.mjs';

serve(() => ({ segments }) => {
  const unreadable = [{ at: 1024, length: 4096, failure: segments }];
  return { sizes: Uint32Array.of(0), copied: 0, subclusters: undefined, unreadable };
});
