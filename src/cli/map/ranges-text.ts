/** Formats ranges as qemu-img does, one line each (dump_map_entry in qemu-img.c). */
import { Qcow2cError, quoted } from '../../errors.js';
import type { MapRange } from '../../map/options.js';

/** Formats ranges in order. */
export interface RangesText {
  /** Text before the first range; there is always a range. */
  readonly begin: string;
  /** @throws Qcow2cError ERR_UNSUPPORTED for a range that the format cannot show */
  of(range: MapRange): string;
  /** Text after the last range. */
  readonly end: string;
}

/** A table of uncompressed data in the files; ranges of zeros are omitted. */
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
    // A name may hold any character; escaped, it cannot look like another row or control the terminal.
    const name = quoted(file ?? '').slice(1, -1);
    return row(hexadecimal(start), hexadecimal(length), hexadecimal(offset ?? 0), name);
  },
  end: '',
};

function row(start: string, length: string, offset: string, file: string): string {
  return `${start.padEnd(16)}${length.padEnd(16)}${offset.padEnd(16)}${file}\n`;
}

/** As printf's %#x: 0 has no prefix. */
function hexadecimal(bytes: number): string {
  return bytes === 0 ? '0' : `0x${bytes.toString(16)}`;
}

/** An array of objects, one a line, with the key `compressed` of QEMU 8.2 and later. */
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
