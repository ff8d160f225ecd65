/**
 * The engine ISA-L (igzip): raw deflate (RFC 1951) through the system's shared library, for the workers. It only
 * compresses. Level 3 is not offered: its output differs between processors.
 */
import { readFileSync } from 'node:fs';
import { Qcow2cError } from '../errors.js';
import { copyBytes } from '../system/copy-bytes.js';
import type { Compressor } from './codec.js';
import { IsalMemory } from './isal-memory.js';
import type { NativeFunction, NativeLibrary } from './native-library.js';

/** A symbol that every libisal with igzip has. */
export const ISAL_SYMBOL = 'isal_deflate_stateless';

/** COMP_OK of igzip_lib.h. */
const OK = 0;

/** Offsets of the fields of struct isal_zstream, the same since 2.18 where pointers have 64 bits. */
const NEXT_IN = 0;
const AVAIL_IN = 8;
const TOTAL_IN = 12;
const NEXT_OUT = 16;
const AVAIL_OUT = 24;
const TOTAL_OUT = 28;
const LEVEL = 40;
const LEVEL_BUF_SIZE = 44;
const LEVEL_BUF = 48;
const END_OF_STREAM = 56;

/** For a struct of 82,384 bytes. */
const STREAM_BYTES = 128 * 1024;
/** Bytes of a level's state: ISAL_DEF_LVL1_REQ and ISAL_DEF_LVL2_REQ. */
const LEVEL_STATE_BYTES = [0, 20_480, 69_632] as const;
/**
 * Literals and matches in a block, which are the rest of the level's buffer: ISA-L's own number, at least those of a
 * cluster of 64 KiB. It determines the ends of blocks, as does the other, so neither must ever change.
 */
const TOKENS_PER_BLOCK = 65_536;
const TOKEN_BYTES = 4;

/** A stored block of deflate: its header, and the most bytes in one. */
const STORED_HEADER_BYTES = 5;
const LARGEST_STORED = 65_535;
/**
 * Results this close to the size of stored blocks are stored, because ISA-L's exact size near it depends on the
 * processor.
 */
const SMALLEST_GAIN = 64;

/** Level 2 is as fast as level 1 on most data, and smaller. */
export const ISAL_FASTEST = 2;

const isLittleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

export class IsalCompressor implements Compressor {
  readonly #memory: IsalMemory;
  readonly #stream: DataView;
  readonly #deflate: NativeFunction;
  readonly #addressOf: (bytes: Uint8Array) => bigint;
  /** ISA-L fails near the end of its output buffer, so the buffer is always large enough. */
  #room = new Uint8Array(0);
  #roomAddress = 0n;

  /**
   * @param level 0 to 2, checked when the engine is chosen
   * @throws Qcow2cError ERR_ENGINE if the library or the system fails
   */
  constructor(library: NativeLibrary, level: number) {
    const stateBytes = LEVEL_STATE_BYTES[level] ?? 0;
    const bufferBytes = stateBytes === 0 ? 0 : stateBytes + TOKEN_BYTES * TOKENS_PER_BLOCK;
    this.#deflate = library.func(ISAL_SYMBOL, 'int', ['uint64_t']);
    const initialise = library.func('isal_deflate_stateless_init', 'void', ['uint64_t']);
    const copy = library.system('memcpy', 'uint64_t', ['void *', 'const void *', 'size_t']);
    // Copies nothing and returns its first argument.
    this.#addressOf = (bytes) => BigInt(copy(bytes, bytes, 0) as number | bigint);
    this.#memory = new IsalMemory(library, STREAM_BYTES + bufferBytes);
    initialise(this.#memory.address);
    this.#stream = new DataView(this.#memory.bytes);
    this.#set32(LEVEL, level);
    this.#set32(LEVEL_BUF_SIZE, bufferBytes);
    if (bufferBytes > 0) this.#set64(LEVEL_BUF, this.#memory.address + BigInt(STREAM_BYTES));
    this.#stream.setUint16(END_OF_STREAM, 1, isLittleEndian);
  }

  compress(input: Uint8Array, output: Uint8Array): number {
    const stored = input.length + STORED_HEADER_BYTES * Math.max(1, Math.ceil(input.length / LARGEST_STORED));
    this.#reserve(stored);
    this.#set64(NEXT_IN, this.#addressOf(input));
    this.#set32(AVAIL_IN, input.length);
    this.#set32(TOTAL_IN, 0);
    this.#set64(NEXT_OUT, this.#roomAddress);
    this.#set32(AVAIL_OUT, stored);
    this.#set32(TOTAL_OUT, 0);
    const result = this.#deflate(this.#memory.address) as number;
    if (result !== OK) throw new Qcow2cError('ERR_ENGINE', `ISA-L failed with ${result}`);
    const size = this.#stream.getUint32(TOTAL_OUT, isLittleEndian);
    if (size > stored - SMALLEST_GAIN) return storeBlocks(input, output, stored);
    if (size > output.length) return 0;
    copyBytes(output, 0, this.#room.subarray(0, size));
    return size;
  }

  free(): void {
    this.#memory.free();
  }

  #reserve(bytes: number): void {
    if (this.#room.length >= bytes) return;
    this.#room = new Uint8Array(bytes);
    this.#roomAddress = this.#addressOf(this.#room);
  }

  #set32(offset: number, value: number): void {
    this.#stream.setUint32(offset, value, isLittleEndian);
  }

  #set64(offset: number, value: bigint): void {
    this.#stream.setBigUint64(offset, value, isLittleEndian);
  }
}

/** Writes `input` as stored blocks (RFC 1951, section 3.2.4). @returns `size`, or 0 if it does not fit */
function storeBlocks(input: Uint8Array, output: Uint8Array, size: number): number {
  if (size > output.length) return 0;
  let at = 0;
  for (let start = 0; start === 0 || start < input.length; start += LARGEST_STORED) {
    const block = input.subarray(start, start + LARGEST_STORED);
    const isLast = start + LARGEST_STORED >= input.length;
    output.set([isLast ? 1 : 0, block.length & 0xff, block.length >> 8], at);
    output.set([~block.length & 0xff, (~block.length >> 8) & 0xff], at + 3);
    copyBytes(output, at + STORED_HEADER_BYTES, block);
    at += STORED_HEADER_BYTES + block.length;
  }
  return size;
}

/**
 * @param cpuInfo text of /proc/cpuinfo; default: read on Linux. elsewhere x86-64 is assumed to have SSE4.2
 * @returns why the output differs from other machines'; undefined on x86-64 with SSE4.2, where all machines agree
 */
export function isalUnportable(
  cpuInfo = readCpuInfo(),
  architecture: string = process.arch,
): string | undefined {
  if (architecture !== 'x64') return 'bytes may differ from those of x86-64';
  if (cpuInfo === undefined || /^flags\s*:.* sse4_2( |$)/m.test(cpuInfo)) return undefined;
  return 'the processor has no SSE4.2: bytes differ from those of processors that have it';
}

let cpuInfoRead: { readonly text: string | undefined } | undefined;

/** Reads the file once: it has a page for each processor. */
function readCpuInfo(): string | undefined {
  try {
    cpuInfoRead ??= { text: readFileSync('/proc/cpuinfo', 'latin1') };
  } catch {
    cpuInfoRead = { text: undefined };
  }
  return cpuInfoRead.text;
}
