// Ends its thread in the middle of an item.
import { serve } from './serve.mjs';

serve(() => () => process.exit(3));
