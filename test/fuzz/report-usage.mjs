// Loaded into qcow2c before its own modules (node --import): leaves what the process has used when it ends, as
// JSON: memory at most, in KiB, and processor time, in milliseconds.
import { writeFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

const report = process.env.QCOW2C_TEST_USAGE;
if (isMainThread && report !== undefined) {
  process.on('exit', () => {
    const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage();
    writeFileSync(report, JSON.stringify({ maxRSS, cpu: (userCPUTime + systemCPUTime) / 1000 }));
  });
}
