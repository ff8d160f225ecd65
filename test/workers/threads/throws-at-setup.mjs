// Cannot have what its setup asks for.
import { serve } from './serve.mjs';

serve(() => {
  throw new Error('the engine is not installed');
});
