// Loaded into qcow2c before its own modules (node --import): writes the peak memory in KiB and the processor time in
// milliseconds as JSON when the process ends. getrusage(2) would count the memory of the process that forked this one.
import { readFileSync, writeFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

const report = process.env.QCOW2C_TEST_USAGE;
if (isMainThread && report !== undefined) {
  process.on('exit', () => {
    const [, peak] = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'));
    const { userCPUTime, systemCPUTime } = process.resourceUsage();
    writeFileSync(
      report,
      JSON.stringify({ peakKib: Number(peak), cpu: (userCPUTime + systemCPUTime) / 1000 }),
    );
  });
}
