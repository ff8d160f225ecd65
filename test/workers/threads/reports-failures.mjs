// Answers with the failure in the item's `segments`.
import { serve } from './serve.mjs';

serve(() => ({ segments }) => ({ failure: segments }));
