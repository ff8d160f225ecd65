/** The entry of a worker thread. */
import { parentPort } from 'node:worker_threads';
import { serve } from './worker-session.js';

if (parentPort !== null) serve(parentPort);
