// The engines alone, bundled for engine-loop.js.
export { createCompressor } from '../src/engines/create-engine.ts';
export { findLibrary } from '../src/engines/installed-libraries.ts';
