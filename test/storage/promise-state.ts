/** Tells whether a promise is still waiting, without waiting for it: no test of the storage sleeps. */

/** Lets everything go on that can: the microtasks of this turn run before the next turn begins. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** What has become of `promise` once nothing that could settle it is left to run. */
export async function stateOf(promise: Promise<unknown>): Promise<'waiting' | 'resolved' | 'rejected'> {
  let state: 'waiting' | 'resolved' | 'rejected' = 'waiting';
  promise.then(
    () => {
      state = 'resolved';
    },
    () => {
      state = 'rejected';
    },
  );
  await turn();
  return state;
}
