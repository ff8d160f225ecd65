// Ends its thread while it is loaded. It appends a byte to the file WORKER_LOADS each time.
import { appendFileSync } from 'node:fs';

const { WORKER_LOADS } = process.env;
if (WORKER_LOADS) appendFileSync(WORKER_LOADS, 'x');
process.exit(3);
