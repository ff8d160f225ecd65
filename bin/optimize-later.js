// V8 of Node.js 20 optimizes functions eight times too early for runs of a few seconds. Later ones have no such option.
const { setFlagsFromString } = require('node:v8');

/** Bytes of bytecode, as in V8 and for this program. */
const USUAL_BUDGET = 67_584;
const BUDGET = 540_672;

/**
 * Milliseconds until modules are loaded and threads have started. V8 refuses what was compiled with other options, of
 * Node.js too, so each thread would take 0.015 s longer to start.
 */
const START = 150;

setTimeout(() => setFlagsFromString(`--interrupt-budget=${BUDGET}`), START).unref();
// For what the run leaves compiled.
process.once('exit', () => setFlagsFromString(`--interrupt-budget=${USUAL_BUDGET}`));
