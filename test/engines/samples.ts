/** Clusters of every kind that a disk holds, the same on every run. */

/** Bytes that no engine can shrink: xorshift32. */
export function randomBytes(length: number, seed = 1): Uint8Array {
  let state = Math.imul(seed, 0x9e3779b1) | 1;
  return new Uint8Array(length).map(() => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 24;
  });
}

const SYLLABLES = 'clus ter ta ble he ad er wri te blo ck di sk re ad ze ro len gth off set in of to a'.split(
  ' ',
);

/** Syllables in a random order: letters are as unequal and strings as often repeated as in prose. */
export function text(length: number, seed = 1): Uint8Array {
  const dice = randomBytes(length, seed);
  let prose = '';
  for (let i = 0; prose.length < length; i += 1) {
    prose += SYLLABLES[dice[i]! % SYLLABLES.length]! + (dice[i]! > 150 ? ' ' : '');
  }
  return Buffer.from(prose).subarray(0, length);
}

/** Records of 16 bytes such as tables of binary files have: counters, small numbers, zeros, some noise. */
export function records(length: number, seed = 1): Uint8Array {
  const noise = randomBytes(length, seed);
  const table = Buffer.alloc(length);
  for (let at = 0; at + 16 <= length; at += 16) {
    table.writeUInt32LE(0x400000 + at * 3, at);
    table.writeUInt16LE(noise[at]! & 31, at + 4);
    table.writeUInt32BE(noise[at + 1]! * noise[at + 2]!, at + 12);
  }
  return table;
}

/** `pieces` in sequence. */
export function joined(...pieces: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(pieces);
}

export const CLUSTER = 65536;

/** By what they are, each one cluster of 64 KiB. */
export const CLUSTERS: readonly (readonly [string, Uint8Array])[] = [
  ['text', text(CLUSTER)],
  ['binary records', records(CLUSTER)],
  ['zeros', new Uint8Array(CLUSTER)],
  ['one byte value', new Uint8Array(CLUSTER).fill(0xa5)],
  ['random bytes', randomBytes(CLUSTER)],
  ['text, then random bytes', joined(text(CLUSTER / 2), randomBytes(CLUSTER / 2))],
  ['a random block, twice', joined(randomBytes(CLUSTER / 2), randomBytes(CLUSTER / 2))],
];
