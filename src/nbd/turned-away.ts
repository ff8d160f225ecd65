/** Servers that take one client at a time, and have not noticed yet that the last one has left. */
import { setTimeout as later } from 'node:timers/promises';
import { NbdFailure } from './nbd-failure.js';

/** Milliseconds to wait before each further attempt. */
const PAUSES = [20, 50, 100, 200, 400];

/**
 * Connects, also to a server that at first closes the connection at once.
 * @param open makes one attempt
 * @throws what the last attempt throws; every other failure at once
 */
export async function onceNotTurnedAway<T>(open: () => Promise<T>): Promise<T> {
  for (const pause of PAUSES) {
    try {
      return await open();
    } catch (error) {
      if (!(error instanceof NbdFailure && error.kind === 'lost' && error.code === 'ENOTCONN')) throw error;
      await later(pause);
    }
  }
  return open();
}
