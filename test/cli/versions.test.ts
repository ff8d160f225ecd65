import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { VERSION, versionText } from '../../src/cli/versions.js';

test('the version equals the one in package.json', () => {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  expect(JSON.parse(text)).toMatchObject({ version: VERSION });
});

test('every engine and package has a line, found or not', () => {
  const survey = {
    isal: { file: '/lib/libisal.so.2', version: 'libisal.so.2', note: 'the processor has no SSE4.2' },
    libdeflate: { file: '/lib/libdeflate.so.0', version: 'libdeflate.so.0' },
    libzstd: { file: '/lib/libzstd.so.1', version: '1.5.4' },
    nodeZlib: '1.3',
    nodeZstd: undefined,
    fsExt: true,
    lseek: 'koffi',
    another: false,
  };
  expect(versionText(survey).split('\n')).toEqual([
    `qcow2c ${VERSION}`,
    `Node.js     ${process.version}`,
    'isal        libisal.so.2 (/lib/libisal.so.2); the processor has no SSE4.2',
    'libdeflate  libdeflate.so.0 (/lib/libdeflate.so.0)',
    'libzstd     1.5.4 (/lib/libzstd.so.1)',
    'node-zlib   1.3',
    'node-zstd   not found',
    'fs-ext      found',
    'lseek       koffi',
    'another     not found',
    '',
  ]);
});
