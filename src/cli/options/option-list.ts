/**
 * Lists of options: key=value[,key=value], where `,,` in a value is a comma. The grammar is that of QEMU
 * (get_opt_name_value in util/qemu-option.c; for -o also accumulate_options in qemu-img.c).
 */
import { usageError } from '../../errors.js';

export interface OptionPair {
  readonly key: string;
  readonly value: string;
  /** The key had no value: its value is "on", or "off" for a key with the prefix "no". */
  readonly bare: boolean;
}

/**
 * The pairs of a list of -o, in order.
 * @throws Qcow2cError ERR_USAGE for a list that is empty or begins or ends with a separator
 */
export function parseOptionList(list: string): OptionPair[] {
  const trailingCommas = /,*$/.exec(list)?.[0].length ?? 0;
  if (list === '' || list.startsWith(',') || trailingCommas % 2 === 1) {
    throw usageError(`Invalid option list: ${list}`);
  }
  return splitOptionList(list);
}

/** The pairs of any list, in order. An empty list has none, and a trailing comma adds none. */
export function splitOptionList(list: string): OptionPair[] {
  const pairs: OptionPair[] = [];
  // A key ends at the first "=" or ","; a value at the first single comma.
  const pair = /([^=,]*)(?:=((?:[^,]|,,)*))?(?:,|$)/y;
  while (pair.lastIndex < list.length) {
    const [, key = '', value] = pair.exec(list) ?? [];
    if (value !== undefined) pairs.push({ key, value: value.replaceAll(',,', ','), bare: false });
    else if (key.startsWith('no')) pairs.push({ key: key.slice(2), value: 'off', bare: true });
    else pairs.push({ key, value: 'on', bare: true });
  }
  return pairs;
}

/** Whether the list asks for help: `help` or `?` is one of its pairs. */
export function asksForHelp(pairs: readonly OptionPair[]): boolean {
  return pairs.some(({ key, value, bare }) => bare && value === 'on' && (key === 'help' || key === '?'));
}
