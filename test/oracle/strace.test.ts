/** The trace parser, on lines as strace prints them. */
import { expect, test } from 'vitest';
import { parseTrace, transferOf } from './strace.js';

const TRACE = `\
11 openat(AT_FDCWD, "/d/a, \\"b\\" (1)", O_RDWR|O_CREAT|O_DIRECT, 0644) = 18
12 pwrite64(0x12, 0x7f0000001000, 0x1000, 0x2000 <unfinished ...>
11 openat(AT_FDCWD, "/none", O_RDONLY) = -1 ENOENT (No such file or directory)
12 <... pwrite64 resumed>)         = 0x1000
12 pwritev(18, [{iov_base=""..., iov_len=512}, {iov_base=""..., iov_len=1536}], 2, 4294971392) = 2048
12 close(18 <unfinished ...>
11 openat(AT_FDCWD, "/d/c", O_RDONLY) = 18
12 <... close resumed>)            = 0
11 read(0x12, 0x7f0000002000, 0x200) = 0
11 rename("/d/a", "/d/b")          = 0
11 exit_group(0)                   = ?
13 read(0x3,  <unfinished ...>)    = ?
`;
const calls = parseTrace(TRACE);

test('calls come in the order in which they returned, halves joined, calls without a result left out', () => {
  expect(calls.map(({ pid, name, result }) => [pid, name, result])).toEqual([
    [11, 'openat', 18],
    [11, 'openat', -1],
    [12, 'pwrite64', 4096],
    [12, 'pwritev', 2048],
    [11, 'openat', 18],
    [11, 'read', 0],
    [11, 'rename', 0],
  ]);
  expect(calls[1]?.error).toBe('ENOENT');
});

test('a descriptor is known by the file it was opened for, also when its number is given out again', () => {
  expect(calls.map(({ file }) => file)).toEqual([
    undefined,
    undefined,
    '/d/a, "b" (1)',
    '/d/a, "b" (1)',
    undefined,
    '/d/c',
    undefined,
  ]);
  expect(calls[3]?.flags).toBe('O_RDWR|O_CREAT|O_DIRECT');
});

test('transfers have their offset, their lengths and, with one buffer, its address', () => {
  const transfers = calls.map(transferOf).filter((transfer) => transfer !== undefined);
  expect(transfers.map(({ kind, offset, lengths, address }) => [kind, offset, lengths, address])).toEqual([
    ['write', 8192, [4096], 0x7f0000001000n],
    ['write', 4294971392, [512, 1536], undefined],
    ['read', undefined, [512], 0x7f0000002000n],
  ]);
});
