/**
 * The cache modes of qemu-img (-t, -T): none = O_DIRECT; directsync = O_DIRECT and every write durable;
 * writethrough = page cache, every write durable; writeback = page cache, synced at the end; unsafe =
 * page cache, never synced. Source: docs/tools/qemu-img.rst and bdrv_parse_cache_mode in QEMU.
 */
export const CACHE_MODES = ['none', 'directsync', 'writethrough', 'writeback', 'unsafe'] as const;

export type CacheMode = (typeof CACHE_MODES)[number];

/** Whether a mode uses O_DIRECT. @param mode undefined: the default for sources, the page cache */
export function asksForDirect(mode: string | undefined): boolean {
  return mode === 'none' || mode === 'directsync';
}
