// Works on one item until the pool cancels it.
import { serve } from './serve.mjs';

serve(({ begun, cancellation }) => () => {
  Atomics.add(begun, 0, 1);
  while (Atomics.load(cancellation, 0) === 0);
  throw new Error('the item was cancelled');
});
