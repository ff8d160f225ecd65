// Allocates memory until its thread's limit ends it.
import { serve } from './serve.mjs';

serve(() => () => {
  const hoarded = [];
  for (;;) hoarded.push(new Array(100_000).fill(hoarded.length));
});
