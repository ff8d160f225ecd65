import { expect, test } from 'vitest';
import { TableBudget } from '../../src/qcow2/table-budget.js';

const MIB = 2 ** 20;
const file = { name: 'a.qcow2', size: 100 * MIB };

test('tables that do not overlap always fit, and some that overlap', () => {
  const budget = new TableBudget(file, 'L1 tables');
  for (let offset = 0; offset < file.size; offset += MIB) budget.take(offset, MIB);
  for (let again = 0; again < 64; again += 1) budget.take(0, MIB);
  expect(() => budget.take(0, 1)).toThrow(
    `The L1 tables in 'a.qcow2' share their bytes: the file is ${file.size} bytes long and cannot hold all of them`,
  );
});

test('bytes past the end of the file do not count', () => {
  const budget = new TableBudget(file, 'L1 tables');
  for (let again = 0; again < 1000; again += 1) budget.take(file.size - 1, 32 * MIB);
  for (let again = 0; again < 1000; again += 1) budget.take(2 ** 53 - 1, 32 * MIB);
});
