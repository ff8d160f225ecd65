// The resources of a process while it is idle: memory, descriptors, threads, listeners.
import { getEventListeners } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';

/** @typedef {Awaited<ReturnType<typeof readGauges>>} Gauges */

const KIB = 1024;
/** Memory that threads share is freed by a later collection than the first. */
const COLLECTIONS = 3;

/** Sizes in KiB. @param {AbortSignal} signal whose listeners are counted @returns of this process */
export async function readGauges(signal) {
  for (let done = 0; done < COLLECTIONS; done += 1) {
    globalThis.gc();
    await turn();
  }
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  const status = readFileSync('/proc/self/status', 'latin1');
  const mappings = readFileSync('/proc/self/maps', 'latin1').trimEnd().split('\n');
  return {
    resident: Number(/^VmRSS:\s*(\d+)/m.exec(status)[1]),
    heap: Math.round(heapUsed / KIB),
    external: Math.round(external / KIB),
    buffers: Math.round(arrayBuffers / KIB),
    mappings: mappings.length,
    // The descriptor of /proc/self/fd itself does not count.
    descriptors: readdirSync('/proc/self/fd').length - 1,
    threads: readdirSync('/proc/self/task').length,
    listeners: process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0),
    signalListeners: getEventListeners(signal, 'abort').length,
  };
}
