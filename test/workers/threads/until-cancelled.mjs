// Is in the middle of an item until nobody wants its answer any more.
import { serve } from './serve.mjs';

serve(({ begun, unwanted }) => () => {
  Atomics.add(begun, 0, 1);
  while (Atomics.load(unwanted, 0) === 0);
  throw new Error('nobody waits for this item');
});
