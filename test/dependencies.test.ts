/** docs/dependencies.md lists all that is installed to run qcow2c, and nothing there is under another licence than it says. */
import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const read = (name: string) => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8');

interface LockedPackage {
  readonly dev?: boolean;
  readonly license?: string;
  readonly integrity?: string;
}

const lock = JSON.parse(read('package-lock.json')) as {
  readonly packages: Readonly<Record<string, LockedPackage>>;
};

/** Licences that ask for no more than to be named. */
const ACCEPTED = ['MIT', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', 'Apache-2.0', '0BSD'];

/** What a user gets: every package of the lock file that is not for development alone, by its name. */
const installed = Object.entries(lock.packages)
  .filter(([place, { dev }]) => place !== '' && !dev)
  .map(([place, locked]) => ({ place, name: place.replace(/^.*node_modules\//, ''), locked }));

/** The document's list of licences with the packages of each: a package's name, or the beginning of several with a star. */
const rows = [...read('docs/dependencies.md').matchAll(/^- ([\w.-]+): (`[^`]+`(?:,\s+`[^`]+`)*)$/gm)].flatMap(
  ([, licence = '', names = '']) =>
    [...names.matchAll(/`([^`]+)`/g)].map(([, name = '']) => ({ name, licence })),
);

function documentedLicence(name: string): string | undefined {
  return rows.find((row) =>
    row.name.endsWith('*') ? name.startsWith(row.name.slice(0, -1)) : row.name === name,
  )?.licence;
}

/** What the package itself says; one that says nothing in package.json has a file with the words of MIT's licence. */
function licenceOf({ place, locked }: (typeof installed)[number]): string | undefined {
  if (!existsSync(new URL(`../${place}/package.json`, import.meta.url))) return locked.license;
  const { license } = JSON.parse(read(`${place}/package.json`)) as { license?: string };
  if (license !== undefined) return license;
  const file = ['LICENSE', 'LICENSE.txt', 'LICENSE.md'].find((name) =>
    existsSync(new URL(`../${place}/${name}`, import.meta.url)),
  );
  const isMit =
    file !== undefined &&
    /Permission is hereby granted, free of charge.*THE SOFTWARE IS PROVIDED "AS IS"/s.test(
      read(`${place}/${file}`),
    );
  return isMit ? 'MIT' : undefined;
}

test('there are packages to look at, direct ones and others', () => {
  expect(installed.map(({ name }) => name)).toEqual(
    expect.arrayContaining(['commander', 'koffi', 'string-width', 'ansi-regex']),
  );
});

test.each(installed.map((one) => [one.name, one] as const))(
  '%s has the licence that the document says, and it is an accepted one',
  (name, one) => {
    const licence = licenceOf(one);
    expect(ACCEPTED).toContain(licence);
    expect(documentedLicence(name)).toBe(licence);
  },
);

test('the document lists nothing that is not installed', () => {
  const stale = rows.filter(({ name }) => {
    const start = name.replace(/\*$/, '');
    return !installed.some((one) => (start === name ? one.name === name : one.name.startsWith(start)));
  });
  expect(stale).toEqual([]);
});

test('every package is held to a digest by the lock file', () => {
  for (const { name, locked } of installed) {
    expect([name, locked.integrity]).toEqual([name, expect.stringMatching(/^sha512-/)]);
  }
});
