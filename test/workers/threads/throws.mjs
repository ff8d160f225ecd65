// Throws in the middle of an item.
import { serve } from './serve.mjs';

serve(() => () => {
  throw new RangeError('the engine is broken');
});
