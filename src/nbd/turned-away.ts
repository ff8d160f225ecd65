/** Servers that take one client at a time: they have not noticed yet that the last one has left, or it is this process. */
import { setTimeout as later } from 'node:timers/promises';
import { NbdFailure } from './nbd-failure.js';
import { isSameServer, type NbdAddress } from './nbd-name.js';
import { openExports } from './open-exports.js';

/** Milliseconds to wait before each further attempt. */
const PAUSES = [20, 50, 100, 200, 400];

/**
 * Whether this process has an export of the server open, and the server does not say that it takes more connections. It
 * may then leave another one waiting without end.
 */
export function mayBeTaken(address: NbdAddress): boolean {
  return openExports().some(
    ({ address: other, facts }) => !facts.allowsConnections && isSameServer(address, other),
  );
}

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
