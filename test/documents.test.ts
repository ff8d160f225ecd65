/** The documents: links lead to files and headings, named source files exist, and together they stay short. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
/** Of all documents below docs. */
const MOST_WORDS = 12_000;

const read = (name: string) => readFileSync(join(ROOT, name), 'utf8');
const below = (directory: string) =>
  readdirSync(join(ROOT, directory), { recursive: true, encoding: 'utf8' }).map((name) =>
    join(directory, name),
  );

const DOCS = below('docs').filter((name) => name.endsWith('.md'));
const DOCUMENTS = ['README.md', 'CHANGELOG.md', ...DOCS];
const SOURCES = ['src', 'test', 'bench', 'bin', 'packaging', 'fixtures'].flatMap(below);

/** The anchors that GitHub makes of the headings of a document. */
function anchors(text: string): string[] {
  const headings = [...text.replaceAll(/^```.*?^```$/gms, '').matchAll(/^#+ (.*)$/gm)];
  return headings.map(([, heading]) =>
    heading!
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );
}

describe.each(DOCUMENTS)('%s', (document) => {
  const text = read(document);

  test('links to files and headings that exist', () => {
    const broken = [...text.matchAll(/\]\((?!https?:)([^)\s]+)\)/g)].filter(([, link]) => {
      const [name = '', anchor] = link!.split('#');
      const target = name === '' ? document : join(dirname(document), name);
      if (!existsSync(join(ROOT, target))) return true;
      return anchor !== undefined && !anchors(read(target)).includes(anchor);
    });
    expect(broken.map(([link]) => link)).toEqual([]);
  });

  test('names source files that exist', () => {
    const names = [...text.matchAll(/`([\w./-]+\.(?:ts|mjs|cjs))`/g)].map(([, name]) => name!);
    const missing = names.filter(
      (name) => !existsSync(join(ROOT, name)) && !SOURCES.some((file) => file.endsWith(`/${name}`)),
    );
    expect(missing).toEqual([]);
  });
});

test('source files refer to documents and headings that exist', () => {
  const missing = SOURCES.filter((file) => /\.(ts|js|mjs|c|sh)$/.test(file)).flatMap((file) => {
    const references = read(file).matchAll(/\b(docs\/[\w-]+\.md)(?:,\s[\s*/#]*"([^"]+)")?/g);
    return [...references]
      .filter(([, document, heading]) => {
        if (!DOCUMENTS.includes(document!)) return true;
        return heading !== undefined && !read(document!).includes(`# ${heading}`);
      })
      .map(([reference]) => `${file}: ${reference}`);
  });
  expect(missing).toEqual([]);
});

test(`the documents have at most ${MOST_WORDS} words together, so that they are read`, () => {
  const words = DOCS.flatMap((name) => read(name).trim().split(/\s+/));
  expect(words.length).toBeLessThanOrEqual(MOST_WORDS);
});

test('README names the command that compresses a sample, and the one that runs the tests', () => {
  for (const command of ['fixtures/run-sample.sh', 'test/run-all.sh'])
    expect(read('README.md')).toContain(command);
});
