// Ends its thread during an item.
import { serve } from './serve.mjs';

serve(() => () => process.exit(3));
