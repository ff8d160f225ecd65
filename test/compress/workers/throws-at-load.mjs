// Cannot even be loaded. A file that the setup may name tells how often that was tried.
import { appendFileSync } from 'node:fs';
import { workerData } from 'node:worker_threads';

if (workerData.loads !== undefined) appendFileSync(workerData.loads, 'x');
throw new Error('the engine is not installed');
