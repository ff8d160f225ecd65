/**
 * Prints objects of QEMU's QAPI schema as qemu-img does: with the same order of keys and the same JSON
 * (qobject_to_json_pretty in QEMU). Used by every command with --output=json that prints such objects. Pure.
 */

export type QapiValue = string | number | bigint | boolean | readonly QapiValue[] | QapiObject;

export interface QapiObject {
  /** Keys without a value are omitted. */
  readonly [key: string]: QapiValue | undefined;
}

/** Buckets of the hash table in which QEMU keeps an object (QDICT_BUCKET_MAX). */
const BUCKETS = 512;

/** QEMU's hash of a key (tdb_hash in qobject/qdict.c), in 32 bits. */
function bucketOf(key: string): number {
  const bytes = Buffer.from(key);
  let value = Math.imul(0x238f13af, bytes.length);
  for (const [index, byte] of bytes.entries()) value = (value + (byte << ((index * 5) % 24))) | 0;
  return ((Math.imul(1103515243, value) + 12345) >>> 0) % BUCKETS;
}

/**
 * The keys with a value, in QEMU's order of printing: by bucket of its hash table. Within a bucket the last inserted
 * key comes first.
 */
export function entriesOf(object: QapiObject): [string, QapiValue][] {
  return Object.entries(object)
    .filter((entry): entry is [string, QapiValue] => entry[1] !== undefined)
    .reverse()
    .map((entry) => ({ entry, bucket: bucketOf(entry[0]) }))
    .sort((one, other) => one.bucket - other.bucket)
    .map(({ entry }) => entry);
}

/** One value as QEMU's pretty JSON, with a line end. */
export function qapiJson(value: QapiValue): string {
  return [...qapiJsonParts(value)].join('');
}

/** Yields the same in pieces: names in an image can make the text much longer than the image. */
export function* qapiJsonParts(value: QapiValue): Generator<string> {
  yield* json(value, '\n');
  yield '\n';
}

/** @param newLine a line end and the indentation of the value */
function* json(value: QapiValue, newLine: string): Generator<string> {
  if (typeof value === 'string') {
    yield jsonString(value);
  } else if (typeof value !== 'object') {
    yield value.toString();
  } else {
    const inner = `${newLine}    `;
    const items = isList(value) ? value.map((item) => ['', item] as const) : entriesOf(value);
    let before = isList(value) ? '[' : '{';
    if (items.length === 0) yield before;
    for (const [key, item] of items) {
      yield `${before}${inner}${isList(value) ? '' : `${jsonString(key)}: `}`;
      yield* json(item, inner);
      before = ',';
    }
    yield `${newLine}${isList(value) ? ']' : '}'}`;
  }
}

export function isList(value: QapiValue): value is readonly QapiValue[] {
  return Array.isArray(value);
}

/** JSON in ASCII: other characters become \u escapes with capital digits. */
function jsonString(text: string): string {
  return JSON.stringify(text).replace(
    /\\u[0-9a-f]{4}|[^ -~]/g,
    (found) =>
      `\\u${(found.length > 1 ? found.slice(2) : found.charCodeAt(0).toString(16).padStart(4, '0')).toUpperCase()}`,
  );
}
