// Cannot even be loaded. The file that the environment names tells how often that was tried.
import { appendFileSync } from 'node:fs';

const { WORKER_LOADS } = process.env;
if (WORKER_LOADS) appendFileSync(WORKER_LOADS, 'x');
throw new Error('the engine is not installed');
