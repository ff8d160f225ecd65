/** The worker's module. The build puts it beside the library's other files. */
export const BUILT_WORKER = new URL('./worker.cjs', import.meta.url);
