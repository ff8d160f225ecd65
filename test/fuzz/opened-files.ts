/** The files that this process opens while a function runs. */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

/** @returns what `run` returns, and the paths of all files that were opened meanwhile, as they were named */
export async function openedDuring<T>(
  run: () => Promise<T>,
): Promise<{ result: T; opened: readonly string[] }> {
  const opened: string[] = [];
  const { openSync, open } = fs;
  const openPromise = fs.promises.open;
  fs.openSync = ((path, ...more) => {
    const descriptor = openSync(path, ...more);
    opened.push(String(path));
    return descriptor;
  }) as typeof openSync;
  fs.open = ((path: fs.PathLike, ...more: unknown[]) => {
    opened.push(String(path));
    return Reflect.apply(open, fs, [path, ...more]);
  }) as typeof open;
  fs.promises.open = async (path, ...more) => {
    opened.push(String(path));
    return openPromise(path, ...more);
  };
  syncBuiltinESMExports();
  try {
    return { result: await run(), opened };
  } finally {
    Object.assign(fs, { openSync, open });
    fs.promises.open = openPromise;
    syncBuiltinESMExports();
  }
}
