// Throws in the middle of an item.
export default function fail() {
  throw new RangeError('the engine is broken');
}
