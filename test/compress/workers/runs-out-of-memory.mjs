// Takes memory until its thread's limit ends it.
export default function hoard() {
  const hoarded = [];
  for (;;) hoarded.push(new Array(100_000).fill(hoarded.length));
}
