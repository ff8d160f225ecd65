/** Loop devices: block devices made of files. Only for root, and only where the kernel has them. */
import { run, runOk } from '../oracle/run.js';

/** Why no loop device can be had on this machine, or undefined when it can. */
export async function noLoopDevices(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'not root';
  const found = await run('losetup', ['--find']);
  return found.status === 0 ? undefined : found.stderr.trim();
}

/** Makes `file` a block device while `use` runs, whose size is the file's in whole sectors. */
export async function withLoopDevice(
  file: string,
  flags: readonly string[],
  use: (device: string) => Promise<void>,
): Promise<void> {
  const device = (await runOk('losetup', ['--find', '--show', ...flags, file])).trim();
  try {
    await use(device);
  } finally {
    await runOk('losetup', ['--detach', device]);
  }
}
