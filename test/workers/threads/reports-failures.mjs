// Answers with the failure that the item carries in place of its segments.
import { serve } from './serve.mjs';

serve(() => ({ segments }) => ({ failure: segments }));
