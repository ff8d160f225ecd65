// Ends its thread in the middle of an item.
export default function exit() {
  process.exit(3);
}
