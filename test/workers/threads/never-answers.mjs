// Never answers an item, as if a read did not return.
import { serve } from './serve.mjs';

serve(({ begun }) => () => {
  Atomics.add(begun, 0, 1);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
});
