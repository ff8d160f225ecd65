// What the measured commands share.
import { fileURLToPath } from 'node:url';

/** @typedef {'qcow2c' | 'qemu-img'} Program */

const OURS = fileURLToPath(new URL('../bin/qcow2c.js', import.meta.url));

/** @type {Record<Program, string[]>} how each program starts */
export const START = { qcow2c: [OURS], 'qemu-img': ['qemu-img'] };

export const DIRECT = ['-t', 'none'];
export const PARALLEL = ['-W', '-m', '16', ...DIRECT];
/** From a raw disk to a compressed image, in full: nothing is guessed. */
export const COMPRESS = ['convert', '-f', 'raw', '-O', 'qcow2', '-c'];
