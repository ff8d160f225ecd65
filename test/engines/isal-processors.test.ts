/**
 * ISA-L chooses its code by the processor it runs on. Emulated processors of each kind give the bytes that the engine
 * gives here, at every level and wherever the memory lies.
 */
import { closeSync, fstatSync, openSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { createCompressor } from '../../src/engines/create-engine.js';
import { chooseCompressor } from '../../src/engines/engine-choice.js';
import { ISAL_SYMBOL, isalUnportable } from '../../src/engines/isal.js';
import { blocksOfHashZero, hashOf, IsalMemory } from '../../src/engines/isal-memory.js';
import { ISAL_NAMES, loadNativeLibrary } from '../../src/engines/native-library.js';
import { useScratch } from '../e2e/scratch.js';
import { runOk } from '../oracle/run.js';
import { joined, randomBytes, records, text } from './samples.js';

const CLUSTER = 32_768;
const COUNT = 201;
const LEVELS = [0, 1, 2];
/** Literals and matches in a block: ISA-L's own number. */
const TOKENS_PER_BLOCK = 65_536;
const path = useScratch();

/** Parts of a program, and text, records and noise in all proportions. */
function clusters(): Uint8Array {
  const program = openSync(process.execPath, 'r');
  const step = Math.floor(fstatSync(program).size / COUNT);
  const all = Array.from({ length: COUNT }, (_, n) => {
    if (n % 3 > 0) {
      const cluster = new Uint8Array(CLUSTER);
      readSync(program, cluster, 0, CLUSTER, n * step);
      return cluster;
    }
    const part = Math.floor((n * CLUSTER) / COUNT);
    const other = n % 2 === 0 ? text(CLUSTER - part, n + 1) : records(CLUSTER - part, n + 1);
    return joined(randomBytes(part, n + 1), other).subarray(0, CLUSTER);
  });
  closeSync(program);
  return joined(...all);
}

const STORED = CLUSTER + 5;
/** ISA-L stores what hardly shrinks, the engine a little more. */
const HARDLY = STORED - 64;

/** Prints level, cluster, size (0: hardly shrinks) and FNV-1a hash of every payload. The stream is at an address given. */
const PROGRAM = `
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
void isal_deflate_stateless_init(void *);
int isal_deflate_stateless(void *);
static unsigned char in[${CLUSTER}], out[${STORED}], buffer[331776];
int main(int argc, char **argv) {
  unsigned char *s = (void *)strtoul(argv[2], 0, 0);
  if (mmap(s, 131072, 3, 0x22, -1, 0) != s) return 2;
  FILE *file = fopen(argv[1], "r");
  for (int n = 0; fread(in, 1, sizeof in, file) == sizeof in; n++)
    for (unsigned level = 0; level < 3; level++) {
      unsigned room = sizeof out, length = sizeof in, size = level == 0 ? 0 : (level == 1 ? 20480 : 69632) + 4 * ${TOKENS_PER_BLOCK};
      void *input = in, *output = out, *memory = buffer;
      isal_deflate_stateless_init(s);
      memcpy(s, &input, 8); memcpy(s + 8, &length, 4);
      memcpy(s + 16, &output, 8); memcpy(s + 24, &room, 4);
      memcpy(s + 40, &level, 4); memcpy(s + 44, &size, 4); memcpy(s + 48, &memory, 8);
      s[56] = 1;
      if (isal_deflate_stateless(s)) return 3;
      memcpy(&size, s + 28, 4);
      if (size > ${HARDLY}) size = 0;
      unsigned hash = 2166136261u;
      for (unsigned at = 0; at < size; at++) hash = (hash ^ out[at]) * 16777619u;
      printf("%u %d %u %u\\n", level, n, size, hash);
    }
  return 0;
}
`;

let file = '';
let program = '';
let ofEngine = '';
beforeAll(async () => {
  file = path('clusters');
  program = path('compress');
  writeFileSync(file, clusters());
  writeFileSync(path('compress.c'), PROGRAM);
  await runOk('cc', ['-O1', '-w', '-o', program, path('compress.c'), '-l:libisal.so.2']);
  ofEngine = await compressAll();
});

/** What the engine makes, as the program prints it. */
async function compressAll(): Promise<string> {
  const input = readFileSync(file);
  const lines: string[] = [];
  const compressors = await Promise.all(
    LEVELS.map(async (level) =>
      createCompressor(await chooseCompressor({ type: 'zlib', engine: 'isal', level })),
    ),
  );
  const output = new Uint8Array(STORED);
  for (let n = 0; n < COUNT; n += 1) {
    for (const [level, compressor] of compressors.entries()) {
      const size = compressor.compress(input.subarray(n * CLUSTER, (n + 1) * CLUSTER), output);
      const payload = output.subarray(0, size > HARDLY ? 0 : size);
      let hash = 2166136261;
      for (const byte of payload) hash = Math.imul(hash ^ byte, 16777619);
      lines.push(`${level} ${n} ${payload.length} ${hash >>> 0}\n`);
    }
  }
  for (const compressor of compressors) compressor.free();
  return lines.join('');
}

const address = (block: number | undefined) => `0x${(block ?? 0).toString(16)}0000`;
const [first, second] = blocksOfHashZero();

test('every address block has the hash 0, and there are thousands', () => {
  expect(new Set(blocksOfHashZero()).size).toBe(4096);
  expect([...blocksOfHashZero()].every((block) => hashOf(block) === 0)).toBe(true);
});

test('two concurrent streams have two such addresses, and memory in use is not replaced', async () => {
  const library = (await loadNativeLibrary(ISAL_NAMES, ISAL_SYMBOL))!;
  const memories = [new IsalMemory(library, 4096), new IsalMemory(library, 4096)];
  const blocks = memories.map((memory) => Number(memory.address / 65_536n));
  expect(new Set(blocks).size).toBe(2);
  expect(blocks.map(hashOf)).toEqual([0, 0]);
  expect(memories.map((memory) => memory.address % 65_536n)).toEqual([0n, 0n]);
  for (const memory of memories) memory.free();
});

describe('on an x86-64 with SSE4.2', () => {
  test.each<[string, string[]]>([
    ['SSE4.2', ['qemu-x86_64', '-cpu', 'Nehalem']],
    ['AVX', ['qemu-x86_64', '-cpu', 'SandyBridge']],
    ['AVX2', ['qemu-x86_64', '-cpu', 'max']],
    ['the features of this processor', []],
  ])('the output equals that of ISA-L with %s', async (_, emulator) => {
    expect(isalUnportable()).toBeUndefined();
    const [command, ...args] = [...emulator, program, file, address(second ?? first)];
    expect(await runOk(command ?? '', args)).toBe(ofEngine);
  });

  test('the output differs without SSE4.2, and the engine reports it', async () => {
    const other = await runOk('qemu-x86_64', ['-cpu', 'qemu64', program, file, address(first)]);
    expect(other).not.toBe(ofEngine);
    expect(isalUnportable('flags\t\t: fpu sse4_1 sse4_2x\n', 'x64')).toMatch(/no SSE4\.2/);
    expect(isalUnportable('flags\t\t: fpu sse4_1 sse4_2\n', 'x64')).toBeUndefined();
    expect(isalUnportable(undefined, 'arm64')).toMatch(/x86-64/);
  });
});
