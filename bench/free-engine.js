// Replaces src/engines/create-engine.ts in the workers of one side: an engine that costs nothing. Its payloads have a
// usual size and no meaning.
export * from '../src/engines/create-engine.ts';

/** Bytes of a payload: a cluster of 64 KiB of programs and libraries takes about as much. */
const PAYLOAD_BYTES = 28 * 1024;

export async function createCompressor() {
  return { compress: () => PAYLOAD_BYTES, free() {} };
}
