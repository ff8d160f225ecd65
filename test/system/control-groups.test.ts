/** Limits of control groups, from forged contents of /proc and of the groups' own files. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { groupLimits, type ReadText, reachedThreadLimit } from '../../src/system/control-groups.js';

const NONE = { processors: undefined, memory: undefined };
const MIB = 2 ** 20;

/** A system with only these files. */
function system(files: Readonly<Record<string, string>>): ReadText {
  return (path) => files[path];
}

const V2_MOUNT = '31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n';
const V1_MOUNTS =
  '22 1 8:1 / / rw - ext4 /dev/sda1 rw\n' +
  '31 22 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n' +
  '32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 master:2 - cgroup cgroup rw,cpu,cpuacct\n' +
  '33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n' +
  '34 31 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n';

/** The files of version 2 for a process in a group, with the group's files by their paths below the mount. */
function v2(path: string, files: Readonly<Record<string, string>>, mounts = V2_MOUNT): ReadText {
  const below = Object.entries(files).map(([name, text]) => [`/sys/fs/cgroup${name}`, text]);
  return system({
    '/proc/self/cgroup': `0::${path}\n`,
    '/proc/self/mountinfo': mounts,
    ...Object.fromEntries(below),
  });
}

function v1(files: Readonly<Record<string, string>>, path = '/a/b', mounts = V1_MOUNTS): ReadText {
  const cgroup = `9:name=systemd:/\n4:memory:${path}\n3:cpu,cpuacct:${path}\n0::/\n`;
  const below = Object.entries(files).map(([name, text]) => [`/sys/fs/cgroup${name}`, text]);
  return system({
    '/proc/self/cgroup': cgroup,
    '/proc/self/mountinfo': mounts,
    ...Object.fromEntries(below),
  });
}

describe('version 2', () => {
  test.each([
    ['50000 100000\n', 1],
    ['100000 100000\n', 1],
    ['100001 100000\n', 2],
    ['250000 100000\n', 3],
    ['max 100000\n', undefined],
  ])('cpu.max of %j is %s processors', (text, processors) => {
    expect(groupLimits(v2('/a', { '/a/cpu.max': text })).processors).toBe(processors);
  });

  test('the lower of memory.max and memory.high applies', () => {
    const limits = (max: string, high: string) =>
      groupLimits(v2('/a', { '/a/memory.max': max, '/a/memory.high': high })).memory;
    expect(limits('134217728\n', 'max\n')).toBe(128 * MIB);
    expect(limits('134217728\n', '67108864\n')).toBe(64 * MIB);
    expect(limits('max\n', '67108864\n')).toBe(64 * MIB);
    expect(limits('max\n', 'max\n')).toBeUndefined();
  });

  test('the limits of groups above apply too, up to the root of the mount', () => {
    const files = {
      '/a/b/c/cpu.max': '800000 100000\n',
      '/a/b/cpu.max': '300000 100000\n',
      '/a/cpu.max': 'max 100000\n',
      '/a/memory.max': '1048576\n',
      '/a/b/c/memory.max': '4194304\n',
      '/memory.max': '524288\n',
    };
    expect(groupLimits(v2('/a/b/c', files))).toEqual({ processors: 3, memory: MIB / 2 });
    // A sibling group, not one above.
    expect(groupLimits(v2('/a/bb', files))).toEqual({ processors: undefined, memory: MIB / 2 });
  });

  test('in a container the root of the mount is the group itself, or a group above it', () => {
    const mount = (root: string) => V2_MOUNT.replace(' / /sys', ` ${root} /sys`);
    const files = { '/cpu.max': '200000 100000\n', '/sub/cpu.max': '100000 100000\n' };
    expect(groupLimits(v2('/', files)).processors).toBe(2);
    expect(groupLimits(v2('/pod/x', files, mount('/pod/x'))).processors).toBe(2);
    expect(groupLimits(v2('/pod/x/sub', files, mount('/pod/x'))).processors).toBe(1);
    // An unrelated group is not a group above.
    expect(groupLimits(v2('/pod/xy', files, mount('/pod/x')))).toEqual(NONE);
  });

  test('a group outside of the namespace is not read', () => {
    const files = { '/../out/cpu.max': '100000 100000\n', '/cpu.max': '100000 100000\n' };
    expect(groupLimits(v2('/../out', files))).toEqual(NONE);
    const outer = V2_MOUNT.replace(' / /sys', ' /../.. /sys');
    expect(groupLimits(v2('/', files, outer))).toEqual(NONE);
  });
});

describe('version 1', () => {
  test('quota and limit, of the group and of those above', () => {
    const files = {
      '/cpu,cpuacct/a/b/cpu.cfs_quota_us': '-1\n',
      '/cpu,cpuacct/a/b/cpu.cfs_period_us': '100000\n',
      '/cpu,cpuacct/a/cpu.cfs_quota_us': '150000\n',
      '/cpu,cpuacct/a/cpu.cfs_period_us': '100000\n',
      '/memory/a/b/memory.limit_in_bytes': '268435456\n',
      '/memory/a/memory.limit_in_bytes': '9223372036854771712\n',
      '/memory/memory.limit_in_bytes': '9223372036854771712\n',
    };
    expect(groupLimits(v1(files))).toEqual({ processors: 2, memory: 256 * MIB });
  });

  test('of two mounts of a hierarchy the one that shows the group applies, the later if both do', () => {
    const own = '40 31 0:29 / /mine rw - cgroup cgroup rw,cpu,cpuacct\n';
    const mounts = V1_MOUNTS.replace(' / /sys/fs/cgroup/cpu', ' /../.. /sys/fs/cgroup/cpu') + own;
    const read = v1({}, '/', mounts);
    const files = system({ '/mine/cpu.cfs_quota_us': '200000\n', '/mine/cpu.cfs_period_us': '100000\n' });
    expect(groupLimits((path) => read(path) ?? files(path)).processors).toBe(2);
  });

  test('both versions side by side: the lower limit applies', () => {
    const files = {
      '/memory/a/b/memory.limit_in_bytes': '268435456\n',
      '/unified/memory.max': '1048576\n',
      '/unified/cpu.max': '100000 100000\n',
    };
    expect(groupLimits(v1(files))).toEqual({ processors: 1, memory: MIB });
  });
});

test('names may contain blanks, colons, backslashes and bytes that are not UTF-8', () => {
  const name = 'a:b c\\d\xff';
  const mount = `31 23 0:28 / /sys/fs/c\\040g\\134x rw - cgroup2 none rw\n`;
  const read = system({
    '/proc/self/cgroup': `0::/${name}\n`,
    '/proc/self/mountinfo': mount,
    [`/sys/fs/c g\\x/${name}/cpu.max`]: '100000 100000\n',
  });
  expect(groupLimits(read).processors).toBe(1);
});

test('without control groups, or with empty files, there is no limit', () => {
  expect(groupLimits(() => undefined)).toEqual(NONE);
  expect(groupLimits(() => '')).toEqual(NONE);
  for (const text of ['', 'max', '0', '-5 100000', '100000 0', '1e3 100', 'x y', '100000', ' 5 5', '5  5']) {
    expect([text, groupLimits(v2('/a', { '/a/cpu.max': text })).processors]).toEqual([text, undefined]);
  }
  for (const text of ['', '-1', '0x100', '1k', '99999999999999999999', '1 2']) {
    expect([text, groupLimits(v2('/a', { '/a/memory.max': text })).memory]).toEqual([text, undefined]);
  }
});

test('for any file contents, nothing is thrown and limits are whole numbers', () => {
  const piece = fc.oneof(
    fc.string(),
    fc.constantFrom(
      '0::/',
      '1:cpu:/a',
      ' - ',
      'cgroup2',
      'cgroup',
      '/',
      '..',
      ':',
      ' ',
      '\n',
      '\\040',
      '\\777',
    ),
    fc.constantFrom('max', '100000', '-1', '9223372036854771712', ' rw,cpu', '31 23 0:28 / /x rw'),
  );
  const text = fc.array(piece, { maxLength: 20 }).map((pieces) => pieces.join(''));
  fc.assert(
    fc.property(fc.array(text, { minLength: 3, maxLength: 6 }), (texts) => {
      let index = 0;
      const { processors, memory } = groupLimits(() => texts[index++ % texts.length]);
      expect(processors === undefined || (Number.isSafeInteger(processors) && processors >= 1)).toBe(true);
      expect(memory === undefined || (Number.isSafeInteger(memory) && memory >= 0)).toBe(true);
    }),
  );
});

test('of all quotas up to the root, the lowest applies, rounded up', () => {
  const quota = fc.record({
    quota: fc.integer({ min: 1000, max: 10 ** 7 }),
    period: fc.integer({ min: 1000, max: 10 ** 6 }),
  });
  fc.assert(
    fc.property(fc.array(fc.option(quota), { minLength: 1, maxLength: 6 }), (groups) => {
      const files: Record<string, string> = {};
      let path = '';
      for (const [depth, group] of groups.entries()) {
        path += `/g${depth}`;
        files[`${path}/cpu.max`] = group === null ? 'max 100000\n' : `${group.quota} ${group.period}\n`;
      }
      const expected = groups.flatMap((group) =>
        group === null ? [] : [Math.ceil(group.quota / group.period)],
      );
      expect(groupLimits(v2(path, files)).processors).toBe(
        expected.length > 0 ? Math.min(...expected) : undefined,
      );
    }),
  );
});

describe('the limit on threads', () => {
  const V1_PIDS = '35 31 0:32 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n';
  const pids = (files: Readonly<Record<string, string>>) =>
    reachedThreadLimit(
      system({
        '/proc/self/cgroup': '8:pids:/a/b\n4:memory:/a\n',
        '/proc/self/mountinfo': V1_MOUNTS + V1_PIDS,
        ...files,
      }),
    );

  test('is that of a group that has reached it, in both versions', () => {
    expect(reachedThreadLimit(v2('/a', { '/a/pids.max': '14\n', '/a/pids.current': '14\n' }))).toBe(14);
    const group = '/sys/fs/cgroup/pids/a/b';
    expect(pids({ [`${group}/pids.max`]: '9\n', [`${group}/pids.current`]: '9\n' })).toBe(9);
  });

  test('is also that of a group above', () => {
    const files = {
      ...{ '/a/pids.max': '20\n', '/a/pids.current': '20\n' },
      ...{ '/a/b/pids.max': '10\n', '/a/b/pids.current': '9\n' },
    };
    expect(reachedThreadLimit(v2('/a/b', files))).toBe(20);
  });

  test('is undefined if no limit is reached, or it is "max" or unreadable', () => {
    const read = (max: string, current: string) =>
      reachedThreadLimit(v2('/a', { '/a/pids.max': max, '/a/pids.current': current }));
    expect(read('14\n', '13\n')).toBeUndefined();
    expect(read('max\n', '13\n')).toBeUndefined();
    expect(read('14\n', 'many\n')).toBeUndefined();
    expect(reachedThreadLimit(system({}))).toBeUndefined();
  });
});
