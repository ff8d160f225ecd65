/**
 * V8 of Node.js 20 optimizes functions eight times too early for runs of a few seconds. Later ones have no such option.
 */

/** Bytes of bytecode: V8's own value, and that of this program. */
const USUAL_BUDGET = 67_584;
const BUDGET = 540_672;

/**
 * For the rest of the run functions are optimized later. Called once modules are loaded and threads have started: V8
 * refuses what was compiled with other options, of Node.js too, so each thread would take 0.025 s more to start.
 */
export function optimizeLater(): void {
  if (!process.version.startsWith('v20.')) return;
  const { setFlagsFromString } = process.getBuiltinModule('node:v8');
  setFlagsFromString(`--interrupt-budget=${BUDGET}`);
  // Before the program is kept compiled.
  process.prependOnceListener('exit', () => setFlagsFromString(`--interrupt-budget=${USUAL_BUDGET}`));
}
