/** The recipes: the files below docs/recipes, and the code blocks of README.md. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../e2e/cli.js';

export const RECIPES = join(ROOT, 'docs', 'recipes');

/** The files of the recipes, without the page that explains them. */
export function recipeFiles(): string[] {
  const files = readdirSync(RECIPES, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  return files.map(({ parentPath, name }) => join(parentPath, name)).filter((file) => !file.endsWith('.md'));
}

/** The code blocks of a language in README.md, or in another document. */
export function readmeBlocks(language: string, document = 'README.md'): string[] {
  const text = readFileSync(join(ROOT, document), 'utf8');
  return [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)]
    .filter(([, name]) => name === language)
    .map(([, , code]) => code!);
}

/** The code blocks of a language in all documents below docs. */
export function documentBlocks(language: string): string[] {
  const names = readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' }).sort();
  const pages = names.filter((name) => name.endsWith('.md'));
  return pages.flatMap((name) => readmeBlocks(language, join('docs', name)));
}

/** One instruction of a Dockerfile, with its continued lines joined. */
interface Step {
  readonly instruction: string;
  readonly words: string;
}

/** Reads a Dockerfile. @throws Error at an instruction that the recipes do not use */
export function dockerfileSteps(text: string): Step[] {
  const lines = text
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, '')
    .trim()
    .split(/\n+/);
  return lines.map((line) => {
    const [, instruction, words] = /^(FROM|ARG|COPY|RUN|WORKDIR|ENTRYPOINT) (.+)$/.exec(line) ?? [];
    if (instruction === undefined || words === undefined)
      throw new Error(`Not a step of a Dockerfile: ${line}`);
    return { instruction, words };
  });
}
