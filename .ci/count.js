// Prints "N passed, N failed[, N skipped]" from Vitest's JSON account; fails when no test ran or one failed.
import { existsSync, readFileSync } from 'node:fs';

const [file] = process.argv.slice(2);
const results = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : { testResults: [] };
const files = results.testResults;
const count = (...states) =>
  files.flatMap((f) => f.assertionResults).filter((t) => states.includes(t.status)).length;

const passed = count('passed');
// A file that broke outside its tests, by an import for example, counts as one failed test.
const broken = files.filter(
  (f) => f.status === 'failed' && !f.assertionResults.some((t) => t.status === 'failed'),
);
const failed = count('failed') + broken.length;
const skipped = count('pending', 'skipped', 'todo', 'disabled');
process.stdout.write(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`);
process.exitCode = passed > 0 && failed === 0 ? 0 : 1;
