#!/usr/bin/env node
import { writeSync } from 'node:fs';

try {
  await import('../dist/cli.js');
} catch (error) {
  if (error.code !== 'EMFILE' && error.code !== 'ENFILE') throw error;
  writeSync(2, 'qcow2c: Could not load the program: Too many open files (ulimit -n sets the limit)\n');
  // For compare 1 means that the images differ.
  process.exitCode = process.argv[2] === 'compare' ? 2 : 1;
}
