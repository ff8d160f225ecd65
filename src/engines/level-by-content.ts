/**
 * Chooses between two levels of one engine by what a cluster holds, for the workers. Level 1 with its large
 * window beats what qemu-img runs on text (90 % of its size) and code (98 %), but not on binary tables full of
 * zeros (up to 102 %); there level 2 does (97 %), and these are fast at any level.
 */
import type { Compressor } from './codec.js';

/** One byte in so many is looked at: prime, so that no record length hides its columns. */
const STRIDE = 61;

/** Below this share of printable bytes a cluster is taken for tables: code has a quarter, text nearly all. */
const PRINTABLE_SHARE = 0.2;

/** @returns whether few of the cluster's bytes are printable ASCII or white space */
export function looksLikeTables(cluster: Uint8Array): boolean {
  let printable = 0;
  for (let at = 0; at < cluster.length; at += STRIDE) {
    const byte = cluster[at] as number;
    if ((byte >= 32 && byte < 127) || (byte >= 9 && byte <= 13)) printable += 1;
  }
  return printable < PRINTABLE_SHARE * Math.ceil(cluster.length / STRIDE);
}

export class LevelByContent implements Compressor {
  readonly #usual: Compressor;
  readonly #forTables: Compressor;

  /** Both are freed with this one. */
  constructor(usual: Compressor, forTables: Compressor) {
    this.#usual = usual;
    this.#forTables = forTables;
  }

  compress(input: Uint8Array, output: Uint8Array): number {
    return (looksLikeTables(input) ? this.#forTables : this.#usual).compress(input, output);
  }

  free(): void {
    this.#usual.free();
    this.#forTables.free();
  }
}
