/** The worker's entry in a build, which puts every file of the library beside it. */
export const BUILT_WORKER = new URL('./worker.js', import.meta.url);
