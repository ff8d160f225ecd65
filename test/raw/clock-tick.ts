/** Waits for the next tick of the clock that stamps files. All changes within one tick get the same time. */
import { rmSync, statSync, writeFileSync } from 'node:fs';

/** Returns when a change gets a later time than any change before the call. @param file a file beside it is made */
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
