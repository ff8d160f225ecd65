/** The modules of a source tree and what each of them imports and touches, read with TypeScript's parser. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import ts from 'typescript';

export interface Import {
  /** The module's path from the root of the checkout, or the package's name, or 'node:...'. */
  readonly target: string;
  /** Erased by the compiler: nothing is loaded at run time. */
  readonly typeOnly: boolean;
}

export interface Module {
  /** From the root of the checkout, such as src/qcow2/header.ts. */
  readonly path: string;
  readonly imports: readonly Import[];
  /** `process.x` and `console.x` as written; a bare `process` or `console` that is passed on, as itself. */
  readonly globals: readonly string[];
}

export type ModuleGraph = ReadonlyMap<string, Module>;

/** Where `specifier`, written in the module `from`, leads. */
function resolve(from: string, specifier: string): string {
  if (!specifier.startsWith('.')) return specifier;
  return posix.join(posix.dirname(from), specifier).replace(/\.js$/, '.ts');
}

/** The package of a bare specifier: 'a/b' is of 'a', '@a/b/c' of '@a/b'. */
export function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

/** `require(...)`, also as made on the spot by createRequire. */
function isRequire({ expression: callee }: ts.CallExpression): boolean {
  const name = ts.isCallExpression(callee) ? callee.expression.getText() : callee.getText();
  return name === (ts.isCallExpression(callee) ? 'createRequire' : 'require');
}

/** Parses one module. `path` is from the root of the checkout. */
export function parseModule(path: string, text: string): Module {
  const imports: Import[] = [];
  const globals: string[] = [];
  const add = (specifier: ts.Node | undefined, typeOnly: boolean) => {
    const literal =
      specifier !== undefined && ts.isStringLiteralLike(specifier) ? specifier.text : '(computed)';
    imports.push({ target: resolve(path, literal), typeOnly });
  };

  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) {
      // `import { type A }` keeps the import itself under verbatimModuleSyntax: only `import type` is erased.
      add(node.moduleSpecifier, node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword);
      return;
    }
    if (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined) {
      add(node.moduleSpecifier, node.isTypeOnly);
      return;
    }
    if (ts.isImportTypeNode(node))
      add(ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined, true);
    else if (ts.isCallExpression(node)) {
      if (node.expression.kind === ts.SyntaxKind.ImportKeyword || isRequire(node))
        add(node.arguments[0], false);
    } else if (ts.isIdentifier(node) && (node.text === 'process' || node.text === 'console')) {
      const { parent } = node;
      const isMemberName =
        (ts.isPropertyAccessExpression(parent) && parent.name === node) ||
        (ts.isPropertyAssignment(parent) && parent.name === node);
      const isGlobalThis =
        ts.isPropertyAccessExpression(parent) &&
        parent.name === node &&
        parent.expression.getText() === 'globalThis';
      if (!isMemberName && ts.isPropertyAccessExpression(parent)) globals.push(parent.getText());
      else if (!isMemberName || isGlobalThis) globals.push(node.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(path, text, ts.ScriptTarget.ES2023, true));
  return { path, imports, globals };
}

/** Parses invented modules: path and text. */
export function graphOf(files: Readonly<Record<string, string>>): ModuleGraph {
  return new Map(Object.entries(files).map(([path, text]) => [path, parseModule(path, text)]));
}

/** Parses every TypeScript module below `directory` (from `root`). */
export function readGraph(root: string, directory: string): ModuleGraph {
  const names = readdirSync(join(root, directory), { recursive: true, encoding: 'utf8' });
  const paths = names.filter((name) => /(?<!\.d)\.ts$/.test(name)).map((name) => posix.join(directory, name));
  return graphOf(Object.fromEntries(paths.map((path) => [path, readFileSync(join(root, path), 'utf8')])));
}
