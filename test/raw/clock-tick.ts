/** Waits for the clock by which a file system stamps its files: what happens in one tick has one time. */
import { rmSync, statSync, writeFileSync } from 'node:fs';

/** Returns when a change gets a later time than one before the call. @param file beside which a file is made */
export function clockTick(file: string): void {
  const probe = `${file}.tick`;
  const stamp = () => {
    writeFileSync(probe, '');
    return statSync(probe, { bigint: true }).ctimeNs;
  };
  const first = stamp();
  while (stamp() === first);
  rmSync(probe);
}
