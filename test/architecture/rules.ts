/** The rules of the source tree. Each takes a module graph and returns one sentence for each breach. */
import { type Module, type ModuleGraph, packageOf } from './module-graph.js';

const COMMANDS = ['src/convert', 'src/info', 'src/check', 'src/compare', 'src/map', 'src/measure'];
/** What every command stands on, from the top to the bottom. */
const BELOW_COMMANDS = [
  'src/examine',
  'src/workers',
  'src/image',
  'src/engines',
  'src/raw',
  'src/qcow2',
  'src/storage',
  'src/system',
];
/** The directories that the modules of a directory may import, besides their own and the leaves: arrows point one way. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  'src/cli': [...COMMANDS, ...BELOW_COMMANDS],
  ...Object.fromEntries(COMMANDS.map((command) => [command, BELOW_COMMANDS])),
  // A conversion into an existing image counts its references as a check does.
  'src/convert': ['src/check', ...BELOW_COMMANDS],
  // Measuring a compressed image is a conversion into the null target.
  'src/measure': ['src/convert', ...BELOW_COMMANDS],
  'src/examine': ['src/workers', 'src/image', 'src/engines', 'src/qcow2', 'src/storage', 'src/system'],
  'src/workers': ['src/image', 'src/engines', 'src/qcow2', 'src/storage', 'src/system'],
  'src/image': ['src/raw', 'src/qcow2', 'src/storage', 'src/system'],
  'src/engines': ['src/system'],
  'src/raw': ['src/storage', 'src/system'],
  'src/qcow2': ['src/storage', 'src/system'],
  'src/storage': ['src/system'],
  'src/system': [],
};
/** Directories that implement interfaces of another one: they import its types, and nothing that is loaded. */
const MAY_IMPLEMENT: Readonly<Record<string, readonly string[]>> = {
  'src/raw': ['src/image'],
  'src/qcow2': ['src/image'],
};
/** Modules that every directory may import, and that import no other module of the program. */
const LEAVES = ['src/arithmetic.ts', 'src/compression-type.ts', 'src/errors.ts', 'src/sector.ts'];
/** The library's entry exports what is public, so it imports every directory but the command line. */
const LIBRARY_ENTRY = 'src/index.ts';
const WORKER_ENTRY = 'src/workers/worker.ts';
const ENTRIES = [LIBRARY_ENTRY, WORKER_ENTRY, 'src/cli/main.ts'];

/** Packages, each with the directories or the module that may use it: a dependency stays behind one interface. */
const PACKAGE_USERS: Readonly<Record<string, readonly string[]>> = {
  commander: ['src/cli'],
  'cli-progress': ['src/cli'],
  koffi: ['src/engines', 'src/system'],
  'fs-ext': ['src/system/seek.ts'],
};

/** What of `process` may be read anywhere: facts that change nothing and print nothing. */
const HARMLESS = [
  'platform',
  'arch',
  'version',
  'versions',
  'pid',
  'memoryUsage',
  'hrtime',
  'cpuUsage',
  'geteuid',
  'getuid',
];

function directoryOf(path: string): string {
  return path.split('/').slice(0, 2).join('/');
}

function isOurs(target: string): boolean {
  return target.startsWith('src/');
}

function forEachImport(
  graph: ModuleGraph,
  judge: (module: Module, target: string, typeOnly: boolean) => string | undefined,
) {
  return [...graph.values()].flatMap((module) =>
    module.imports.flatMap(({ target, typeOnly }) => judge(module, target, typeOnly) ?? []),
  );
}

/** bin -> cli -> commands -> examine -> {workers, image} -> {engines, raw, qcow2} -> storage -> system; leaves below; siblings apart. */
export function wrongDirections(graph: ModuleGraph): string[] {
  return forEachImport(graph, ({ path }, target, typeOnly) => {
    if (!isOurs(target)) return undefined;
    const breach = `${path} must not import ${target}`;
    if (LEAVES.includes(path)) return breach;
    if (LEAVES.includes(target)) return undefined;
    const [from, to] = [directoryOf(path), directoryOf(target)];
    if (path === LIBRARY_ENTRY) return to === 'src/cli' ? breach : undefined;
    if (typeOnly && MAY_IMPLEMENT[from]?.includes(to)) return undefined;
    return from === to || MAY_IMPORT[from]?.includes(to) ? undefined : breach;
  });
}

/** Every import of ours leads to a module that exists, and none is computed at run time. */
export function unknownTargets(graph: ModuleGraph): string[] {
  return forEachImport(graph, ({ path }, target) => {
    if (target === '(computed)') return `${path} imports what only the run will tell`;
    return !isOurs(target) || graph.has(target)
      ? undefined
      : `${path} imports ${target}, which does not exist`;
  });
}

/** A package is used where it belongs and nowhere else; types count, they tie as well. */
export function strayPackages(graph: ModuleGraph): string[] {
  return forEachImport(graph, ({ path }, target) => {
    if (isOurs(target) || target.startsWith('node:') || target === '(computed)') return undefined;
    const users = PACKAGE_USERS[packageOf(target)];
    if (users === undefined) return `${path} imports ${target}, which is no dependency`;
    return users.includes(directoryOf(path)) || users.includes(path)
      ? undefined
      : `${path} must not import ${target}`;
  });
}

/** Only the command line prints, exits, listens to signals or reads the environment. */
export function printsOrExits(graph: ModuleGraph): string[] {
  const outside = [...graph.values()].filter(({ path }) => directoryOf(path) !== 'src/cli');
  return outside.flatMap(({ path, imports, globals }) => {
    const modules = imports.map(({ target }) => target).filter((t) => /^(node:)?(process|console)$/.test(t));
    const uses = globals.filter((use) => !HARMLESS.some((name) => use === `process.${name}`));
    return [...modules, ...uses].map((use) => `${path} uses ${use}`);
  });
}

/** The modules of src/qcow2 turn bytes into values and back, and reach files through the storage interface. */
export function impureFormatModules(graph: ModuleGraph): string[] {
  return forEachImport(graph, ({ path }, target) => {
    const outside = /^node:(fs|worker_threads|child_process|os|net)\b/.test(target);
    return directoryOf(path) === 'src/qcow2' && outside ? `${path} must not import ${target}` : undefined;
  });
}

/** A name that says nothing gathers everything. */
export function emptyNames(graph: ModuleGraph): string[] {
  return [...graph.keys()].filter((path) =>
    /(^|[/-])(utils?|helpers?|common|misc|shared|lib)([-./]|$)/.test(path.replace(/^src/, '')),
  );
}

/** Modules that import each other in a circle, types included. */
export function cycles(graph: ModuleGraph): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const walk = (path: string, chain: readonly string[]): void => {
    const at = chain.indexOf(path);
    if (at >= 0) found.push([...chain.slice(at), path].join(' -> '));
    if (at >= 0 || done.has(path)) return;
    for (const { target } of graph.get(path)?.imports ?? []) {
      if (isOurs(target)) walk(target, [...chain, path]);
    }
    done.add(path);
  };
  for (const path of graph.keys()) walk(path, []);
  return found;
}

/** Modules that no entry needs, not even for a type. */
export function deadModules(graph: ModuleGraph): string[] {
  const needed = new Set(ENTRIES);
  for (const path of needed) {
    for (const { target } of graph.get(path)?.imports ?? []) needed.add(target);
  }
  return [...graph.keys()].filter((path) => !needed.has(path)).map((path) => `nothing needs ${path}`);
}
