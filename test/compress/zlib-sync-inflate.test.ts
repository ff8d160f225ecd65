/** The two faults of zlib-sync that its decompressor works around; what all engines do is in the contract. */
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { NodeZlibDecompressor } from '../../src/compress/node-zlib.js';
import {
  countOfStreams,
  portableInflate,
  type ZlibSync,
  zlibSync,
  zlibSyncVersion,
} from '../../src/compress/zlib-sync-inflate.js';
import { randomBytes, text } from './samples.js';

/** In place of the package where Node.js is too new for it. */
const STAND_IN: ZlibSync = {
  Z_STREAM_END: constants.Z_STREAM_END,
  Z_FINISH: constants.Z_FINISH,
  Inflate: class {
    err = 0;
    result = Buffer.alloc(0);
    push(input: Uint8Array): void {
      try {
        this.result = inflateRawSync(input);
        this.err = constants.Z_STREAM_END;
      } catch {
        this.err = constants.Z_DATA_ERROR;
      }
    }
  },
};

/** zlib-sync, with a count of the streams made and the longest input they were given. */
function watched(streamsLeft = countOfStreams()) {
  const zlib = zlibSync() ?? STAND_IN;
  const seen = { streams: 0, longestInput: 0 };
  class Inflate extends zlib.Inflate {
    constructor(options: { windowBits: number; chunkSize: number }) {
      super(options);
      seen.streams += 1;
    }
    override push(input: Uint8Array, flush: number): void {
      seen.longestInput = Math.max(seen.longestInput, input.length);
      super.push(input, flush);
    }
  }
  return { seen, decompressor: portableInflate({ ...zlib, Inflate }, streamsLeft) };
}

test('zlib-sync is used before Node.js 24, where its streams abort the process, and not from there on', () => {
  expect(zlibSync('22.12.0')).toBeDefined();
  expect(zlibSync('24.0.0')).toBeUndefined();
  expect(zlibSync('26.1.0')).toBeUndefined();
  expect(zlibSyncVersion() !== undefined).toBe(Number.parseInt(process.versions.node, 10) < 24);
});

test('a stream that fits goes through zlib-sync', () => {
  const { seen, decompressor } = watched();
  const cluster = text(4096);
  const output = new Uint8Array(4096);
  decompressor.decompress(deflateRawSync(cluster), output);
  expect(output).toEqual(new Uint8Array(cluster));
  expect(seen.streams).toBe(1);
});

test('all of a process make few streams, for none is ever released, and what comes after is read all the same', () => {
  const streamsLeft = countOfStreams();
  const output = new Uint8Array(512);
  const streams = [400, 400, 400].map((count, index) => {
    const { seen, decompressor } = watched(index < 2 ? streamsLeft : countOfStreams());
    for (let seed = 1; seed <= count; seed += 1) {
      const cluster = text(512, seed);
      decompressor.decompress(deflateRawSync(cluster), output);
      expect(Buffer.compare(output, cluster)).toBe(0);
    }
    return seen.streams;
  });
  expect(streams).toEqual([256, 0, 256]);
});

test('it is given short inputs only, for it bounds nothing itself, and long ones are read all the same', () => {
  const { seen, decompressor } = watched();
  for (const length of [30000, 65536, 2 ** 20]) {
    const cluster = randomBytes(length);
    const output = new Uint8Array(length);
    decompressor.decompress(deflateRawSync(cluster), output);
    expect(Buffer.compare(output, cluster)).toBe(0);
  }
  expect(seen.streams).toBe(1);
  expect(seen.longestInput).toBeLessThanOrEqual(32768);
});

test('without the package node:zlib inflates', () => {
  expect(portableInflate(undefined, countOfStreams())).toBeInstanceOf(NodeZlibDecompressor);
});
