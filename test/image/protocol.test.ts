import { expect, test } from 'vitest';
import { protocolOf, readsAsProtocol, storableName } from '../../src/image/protocol.js';

test.each([
  ['vm-2026-11-29T08:00.qcow2', undefined, './vm-2026-11-29T08:00.qcow2'],
  ['a/b:c', undefined, 'a/b:c'],
  ['file:a:b', undefined, 'file:a:b'],
  ['nbd:host:1', 'nbd', 'nbd:host:1'],
  ['bogus://host', 'bogus', 'bogus://host'],
  ['Bogus://host', undefined, './Bogus://host'],
  ['plain', undefined, 'plain'],
])('%j has the protocol %j, and is stored in an image as %j', (name, protocol, stored) => {
  expect([protocolOf(name), storableName(name)]).toEqual([protocol, stored]);
  expect(readsAsProtocol(storableName(name))).toBe(protocol !== undefined || name.startsWith('file:'));
});
