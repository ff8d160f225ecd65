// Counts how often it was told a setup, and to give up what it holds for one.
import { serve } from './serve.mjs';

let said;
serve(
  (setup) => {
    said = setup.said;
    Atomics.add(said, 0, 1);
    return () => ({ sizes: Uint32Array.of(0), copied: 0, subclusters: undefined, unreadable: [] });
  },
  () => Atomics.add(said, 1, 1),
);
