// Answers with the failure that the item carries in place of its segments.
export default function report({ segments }) {
  return { failure: segments };
}
