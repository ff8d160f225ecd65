/** How ranges are printed: line by line as qemu-img prints them (dump_map_entry in qemu-img.c). */
import { Qcow2cError, quoted } from '../../errors.js';
import type { MapRange } from '../../map/options.js';

/** One range after the other becomes text. */
export interface RangesText {
  /** Before the first range; there is always one. */
  readonly begin: string;
  /** @throws Qcow2cError ERR_UNSUPPORTED for a range that cannot be shown so */
  of(range: MapRange): string;
  /** Behind the last one. */
  readonly end: string;
}

/** A table of what lies in the files as it is; what is nothing but zeros is left out. */
export const HUMAN_TEXT: RangesText = {
  begin: row('Offset', 'Length', 'Mapped to', 'File'),
  of: ({ start, length, data, zero, offset, file }) => {
    if (data && offset === undefined) {
      throw new Qcow2cError(
        'ERR_UNSUPPORTED',
        'File contains external, encrypted or compressed clusters; use --output=json to list them',
      );
    }
    if (!data || zero) return '';
    // A name may hold anything, but must not look like a row of its own or drive the terminal.
    const name = quoted(file ?? '').slice(1, -1);
    return row(hexadecimal(start), hexadecimal(length), hexadecimal(offset ?? 0), name);
  },
  end: '',
};

function row(start: string, length: string, offset: string, file: string): string {
  return `${start.padEnd(16)}${length.padEnd(16)}${offset.padEnd(16)}${file}\n`;
}

/** As printf has it with %#x: zero goes without the prefix. */
function hexadecimal(bytes: number): string {
  return bytes === 0 ? '0' : `0x${bytes.toString(16)}`;
}

/** An array of objects, each on a line, with `compressed` as QEMU has it from 8.2 on. */
export class JsonText implements RangesText {
  readonly begin = '[';
  readonly end = ']\n';
  #between = '';

  of({ start, length, depth, present, zero, data, compressed, offset }: MapRange): string {
    const before = this.#between;
    this.#between = ',\n';
    const place = offset === undefined ? '' : `, "offset": ${offset}`;
    return (
      `${before}{ "start": ${start}, "length": ${length}, "depth": ${depth}, "present": ${present}, ` +
      `"zero": ${zero}, "data": ${data}, "compressed": ${compressed}${place}}`
    );
  }
}
