import { expect, test } from 'vitest';
import { findingWords } from '../../src/check/finding-words.js';

test('names from an image do not break the line', () => {
  const place = { index: 0, id: '1\n', name: 'a\x1b[2J' };
  expect(findingWords({ kind: 'snapshot-l1-unaligned', ...place, l1Offset: 512n }, 16)).toBe(
    'ERROR snapshot 1\\x0a (a\\x1b[2J) l1_offset=0x200: L1 table is not cluster aligned; snapshot table entry ' +
      'corrupted',
  );
});

test('a broken payload is reported with both offsets and its snapshot', () => {
  const place = { guestOffset: 65536, hostOffset: 327777, reason: 'why' };
  expect(findingWords({ kind: 'payload', ...place, snapshot: undefined }, 16)).toBe(
    'ERROR compressed cluster at guest offset 65536 (host offset 327777): why',
  );
  expect(findingWords({ kind: 'payload', ...place, snapshot: '7' }, 16)).toBe(
    'ERROR compressed cluster at guest offset 65536 (host offset 327777, snapshot 7): why',
  );
  expect(findingWords({ kind: 'odd-payload', ...place, snapshot: undefined }, 16)).toBe(
    'WARNING compressed cluster at guest offset 65536 (host offset 327777): why; QEMU reads it all the same',
  );
  expect(findingWords({ kind: 'unreadable', ...place, snapshot: '7' }, 16)).toBe(
    'ERROR cluster at guest offset 65536 (host offset 327777, snapshot 7): why',
  );
});

test('a finding under repair is worded as a repair', () => {
  const leak = { kind: 'refcount', cluster: 4, found: 2n, expected: 1 } as const;
  expect(findingWords(leak, 16)).toBe('Leaked cluster 4 refcount=2 reference=1');
  expect(findingWords(leak, 16, true)).toBe('Repairing cluster 4 refcount=2 reference=1');
  expect(findingWords({ ...leak, expected: 3 }, 16)).toBe('ERROR cluster 4 refcount=2 reference=3');
});
