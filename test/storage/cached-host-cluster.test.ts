/** The bookkeeping of one cached host cluster. Its use is tested with the cache. */
import { describe, expect, test } from 'vitest';
import { CachedHostCluster, signal } from '../../src/storage/cached-host-cluster.js';
import { stateOf } from './promise-state.js';
import { payload } from './recording-storage.js';

const CLUSTER = 8192;

function withSlot(): CachedHostCluster {
  const cluster = new CachedHostCluster(3, CLUSTER);
  cluster.memory = new Uint8Array(CLUSTER).fill(0xff);
  return cluster;
}

describe('a cached host cluster', () => {
  test('is finished when it is filled up to its data end, by default the end of the cluster', () => {
    const cluster = withSlot();
    expect(cluster.isFinished).toBe(false);
    cluster.fill(100, payload(100));
    expect(cluster.isFinished).toBe(false);
    cluster.fill(0, payload(100));
    expect(cluster.isFinished).toBe(false);
    cluster.setDataEnd(200);
    expect(cluster.isFinished).toBe(true);
    expect(cluster.dataEnd).toBe(200);
    const whole = withSlot();
    whole.fill(0, payload(CLUSTER));
    expect(whole.isFinished).toBe(true);
  });

  test('without a byte is not finished, not even when its data ends at 0', () => {
    const cluster = withSlot();
    cluster.setDataEnd(0);
    expect(cluster.isFinished).toBe(false);
    expect(() => cluster.refuseOverlap(0, 1)).toThrow('its data ends at 0');
  });

  test('has a padded image with zeros in unfilled parts', () => {
    const cluster = withSlot();
    cluster.fill(10, payload(5, 1));
    cluster.fill(4096, payload(5, 2));
    const expected = new Uint8Array(4608);
    expected.set(payload(5, 1), 10);
    expected.set(payload(5, 2), 4096);
    expect(cluster.image(512)).toEqual(expected);
    expect(cluster.image(CLUSTER)).toHaveLength(CLUSTER);
    expect(cluster.image(1)).toHaveLength(4101);
  });

  test('remembers that it has changed', () => {
    const cluster = withSlot();
    expect(cluster.changed).toBe(false);
    cluster.fill(0, payload(1));
    expect(cluster.changed).toBe(true);
  });

  test('names host cluster, bytes and reason when it refuses them', () => {
    const cluster = withSlot();
    cluster.fill(0, payload(10));
    expect(() => cluster.refuseOverlap(9, 12)).toThrow(
      'host cluster 3 cannot take bytes 9 to 12: some are filled already',
    );
    cluster.setDataEnd(20);
    expect(() => cluster.refuseOverlap(15, 21)).toThrow(
      'host cluster 3 cannot take bytes 15 to 21: its data ends at 20',
    );
    expect(() => cluster.refuseOverlap(10, 20)).not.toThrow();
  });

  test('takes no bytes and has no image without a slot', () => {
    const cluster = new CachedHostCluster(3, CLUSTER);
    expect(() => cluster.fill(0, payload(1))).toThrow('host cluster 3 has no slot yet');
    expect(() => cluster.image(1)).toThrow('host cluster 3 has no bytes');
  });
});

describe('a signal', () => {
  test('is settled by the queue, and an unhandled rejection has no effect', async () => {
    const good = signal();
    expect(await stateOf(good.promise)).toBe('waiting');
    good.resolve();
    expect(await stateOf(good.promise)).toBe('resolved');
    const bad = signal();
    bad.reject(new Error('lost'));
    await expect(bad.promise).rejects.toThrow('lost');
    signal().reject(new Error('unseen'));
  });
});
