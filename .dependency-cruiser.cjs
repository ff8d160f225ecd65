// The rules of the source tree: which directory imports which. test/architecture.test.ts runs them and shows that each
// can fail. Arrows: cli, arguments -> commands -> examine -> workers, image -> engines, nbd, raw, qcow2 -> storage ->
// system.

const LEAVES = 'src/(arithmetic|compression-type|errors|sector)\\.ts$';
const STACK = ['system', 'storage', 'nbd', 'qcow2', 'raw', 'engines', 'image', 'workers', 'examine'];
const COMMANDS = ['check', 'checksum', 'compare', 'convert', 'info', 'map', 'measure'];

/** The directories that the modules of a directory may import, besides their own and the leaves. */
const MAY_IMPORT = {
  system: [],
  storage: ['system'],
  nbd: ['storage', 'system'],
  qcow2: ['storage', 'system'],
  raw: ['storage', 'system'],
  engines: ['system'],
  image: ['raw', 'nbd', 'qcow2', 'storage', 'system'],
  workers: ['image', 'engines', 'nbd', 'qcow2', 'storage', 'system'],
  examine: ['workers', 'image', 'engines', 'nbd', 'qcow2', 'storage', 'system'],
  ...Object.fromEntries(COMMANDS.map((command) => [command, STACK])),
  // A conversion into an existing image counts its references as a check does.
  convert: ['check', ...STACK],
  // A digest is taken of the sources of a conversion.
  checksum: ['convert', ...STACK],
  // Measuring a compressed image is a conversion into the null target.
  measure: ['convert', ...STACK],
  // The arguments of the library: the options of each command.
  arguments: [...COMMANDS, ...STACK],
  cli: [...COMMANDS, ...STACK],
};
/** raw, nbd and qcow2 implement the source interfaces of image: they import its types, and nothing that is loaded. */
const MAY_IMPLEMENT = { raw: ['image'], nbd: ['image'], qcow2: ['image'] };

/** Each package, with the modules that may import it. */
const PACKAGE_USERS = {
  commander: 'src/cli/',
  'cli-progress': 'src/cli/progress/',
  koffi: 'src/system/koffi\\.ts$',
  'fs-ext': 'src/system/fs-ext-package\\.ts$',
};
const ANY_PACKAGE = 'node_modules/|^(koffi|fs-ext|commander|cli-progress)$';

const arrows = Object.entries(MAY_IMPORT).flatMap(([directory, targets]) => {
  const types = MAY_IMPLEMENT[directory] ?? [];
  const rule = (name, comment, allowed, to) => ({
    name,
    comment,
    severity: 'error',
    from: { path: `^src/${directory}/` },
    to: { path: '^src/', pathNot: [`^src/(${[directory, ...allowed].join('|')})/`, `^${LEAVES}`], ...to },
  });
  const message = `src/${directory} imports only ${targets.join(', ') || 'the leaves'}`;
  if (types.length === 0) return [rule(`arrow-${directory}`, message, targets, {})];
  return [
    rule(`arrow-${directory}`, message, targets, { dependencyTypesNot: ['type-only'] }),
    rule(`arrow-${directory}-types`, `${message}, and types of ${types}`, [...targets, ...types], {}),
  ];
});

const packages = Object.entries(PACKAGE_USERS).map(([name, users]) => ({
  name: `package-${name}`,
  comment: `${name} stays behind one interface`,
  severity: 'error',
  from: { path: '^src/', pathNot: `^${users}` },
  to: { path: `(^|node_modules/)${name}(/|$)` },
}));

module.exports = {
  forbidden: [
    ...arrows,
    ...packages,
    {
      name: 'leaf',
      comment: 'a leaf imports no other module of the program, but another leaf',
      severity: 'error',
      from: { path: `^${LEAVES}` },
      to: { path: '^src/', pathNot: `^${LEAVES}` },
    },
    {
      name: 'known-directory',
      comment: 'every module is a leaf, the library entry or in a directory that has an arrow rule',
      severity: 'error',
      from: {
        path: '^src/',
        pathNot: [`^src/(${Object.keys(MAY_IMPORT).join('|')})/`, `^${LEAVES}`, '^src/index\\.ts$'],
      },
      to: {},
    },
    {
      name: 'library-without-cli',
      comment: 'the library does not import the command line',
      severity: 'error',
      from: { path: '^src/index\\.ts$' },
      to: { path: '^src/cli/' },
    },
    {
      name: 'known-package',
      comment: 'every package is a dependency that has a rule',
      severity: 'error',
      from: { path: '^src/' },
      to: {
        path: ANY_PACKAGE,
        pathNot: `(^|node_modules/)(${Object.keys(PACKAGE_USERS).join('|')}|@types/[a-z-]+)(/|$)`,
      },
    },
    {
      name: 'format-is-pure',
      comment: 'src/qcow2 turns bytes into values and back; it reaches files through the storage interface',
      severity: 'error',
      from: { path: '^src/qcow2/' },
      to: { path: '^(node:)?(fs|worker_threads|child_process|os|net)(/|$)' },
    },
    { name: 'no-circle', severity: 'error', from: { path: '^src/' }, to: { circular: true } },
    {
      name: 'resolvable',
      severity: 'error',
      from: { path: '^src/' },
      to: { couldNotResolve: true, pathNot: '^fs-ext$' },
    },
    {
      name: 'no-empty-name',
      comment: 'a name that says nothing gathers everything',
      severity: 'error',
      from: {},
      to: {
        path: '(^|[/-])(utils?|helpers?|common|misc|shared|lib)([-./]|$)',
        pathNot: ['node_modules/', '^(node:)?util$'],
      },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
  },
};
