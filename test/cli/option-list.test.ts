import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { asksForHelp, parseOptionList } from '../../src/cli/options/option-list.js';

/** The pairs as text, a bare key marked. */
function pairs(list: string): string[] {
  return parseOptionList(list).map(({ key, value, bare }) => `${key}${bare ? ' -> ' : '='}${value}`);
}

describe('parseOptionList', () => {
  test.each<[string, string[]]>([
    ['a=1', ['a=1']],
    ['a=1,b=2', ['a=1', 'b=2']],
    ['a=1,a=2', ['a=1', 'a=2']],
    ['a=', ['a=']],
    ['=x', ['=x']],
    ['a=b=c', ['a=b=c']],
    ['a=1,,2', ['a=1,2']],
    ['a=1,,,b=2', ['a=1,', 'b=2']],
    ['a=,,b=2', ['a=,b=2']],
    ['a=1,,,,', ['a=1,,']],
    ['lazy', ['lazy -> on']],
    ['nolazy,b=1', ['lazy -> off', 'b=1']],
    ['no', [' -> off']],
    ['no=1', ['no=1']],
    ['a,,b', ['a -> on', ' -> on', 'b -> on']],
    [' a = 1 ', [' a = 1 ']],
  ])('splits %j', (list, expected) => {
    expect(pairs(list)).toEqual(expected);
  });

  test.each(['', ',', ',a=1', ',,a=1', 'a=1,', 'a=1,,,'])('refuses %j, which cannot be combined', (list) => {
    expect(() => parseOptionList(list)).toThrow(`Invalid option list: ${list}`);
  });

  test('any value survives when its commas are doubled', () => {
    const value = fc.string({ unit: fc.constantFrom('a', ',', '=', ' ', 'é') });
    fc.assert(
      fc.property(fc.array(value, { minLength: 1 }), (values) => {
        const list = values.map((text, i) => `k${i}=${text.replaceAll(',', ',,')}`).join(',');
        expect(parseOptionList(list).map((pair) => pair.value)).toEqual(values);
      }),
    );
  });
});

describe('asksForHelp', () => {
  test.each(['help', '?', 'a=1,help', '?,a=1', 'a=,,,help'])('%j asks for help', (list) => {
    expect(asksForHelp(parseOptionList(list))).toBe(true);
  });

  test.each(['help=1', 'help=on', 'nohelp', 'a=help', 'a=,,help', 'helpx', '?x'])(
    '%j does not ask for help',
    (list) => {
      expect(asksForHelp(parseOptionList(list))).toBe(false);
    },
  );
});
