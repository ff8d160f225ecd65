// Copies what has arrived in the item's slot to its result, all of it.
import { serve } from './serve.mjs';

serve(({ arrivals, results, itemSize }) => ({ slot }) => {
  new Uint8Array(results).set(new Uint8Array(arrivals, slot * itemSize, itemSize), slot * itemSize);
  return { runs: Uint32Array.of(0, itemSize), unreadable: [] };
});
