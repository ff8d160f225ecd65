/**
 * The container image: an OCI image directory (https://github.com/opencontainers/image-spec), made by umoci without an
 * engine or privileges. It holds node, the program, and the libraries that they load, with their licences, and nothing
 * else: no shell and no package manager. The libraries are those of the Debian or Ubuntu system that makes it.
 */
import { copyFileSync, mkdirSync, readFileSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { put, settle } from './file-tree.js';
import { layProgram } from './installed-program.js';
import { nodeLicence, programLicences } from './licences.js';
import { KOFFI_BINARY } from './program-modules.js';
import { outputOf } from './programs.js';
import { ARCHITECTURE, DATE, MANIFEST, VERSION } from './release.js';

const NODE = '/usr/bin/node';
const PROGRAM = '/usr/lib/qcow2c';

/** The libraries that the program loads if they are there, and their Debian packages. */
const OPTIONAL = {
  'libdeflate.so.0': 'libdeflate0',
  'libisal.so.2': 'libisal2',
  'libzstd.so.1': 'libzstd1',
  'libnbd.so.0': 'libnbd0',
};

/** As the first lines of bin/qcow2c.js do, which need a shell. */
const ENTRYPOINT = [NODE, '--inspect-port=192.0.2.1:9229', `${PROGRAM}/bin/qcow2c.js`];

/**
 * @param {string} target the image's directory, which is made
 * @param {string} tree a directory that is made
 */
export function makeContainerImage(target, tree) {
  const place = (name) => join(tree, name);
  layProgram(place(PROGRAM));
  mkdirSync(place('tmp'));
  mkdirSync(place(dirname(NODE)), { recursive: true });
  copyFileSync(process.execPath, place(NODE));
  outputOf('strip', [place(NODE)]);

  const libraries = Object.keys(OPTIONAL).map(pathOfLibrary);
  const files = loadedBy([place(NODE), place(`${PROGRAM}/${KOFFI_BINARY}`), ...libraries]);
  for (const file of [...new Set([...files, ...libraries])]) {
    mkdirSync(dirname(place(file)), { recursive: true });
    copyFileSync(file, place(file));
    const licence = `/usr/share/doc/${packageOf(file)}/copyright`;
    put(place(licence), readFileSync(licence));
  }
  put(place('/usr/share/doc/nodejs/copyright'), nodeLicence());
  for (const { name, text } of programLicences()) put(place(`/usr/share/doc/qcow2c/${name}/copyright`), text);
  settle(tree, (file) => file === place(NODE) || /\.so(\.\d+)*$/.test(file));

  const image = ['--image', `${target}:${VERSION}`];
  const created = DATE.toISOString().replace('.000', '');
  const history = ['--history.created', created, '--history.created_by', 'npm run package'];
  outputOf('umoci', ['init', '--layout', target]);
  outputOf('umoci', ['new', ...image]);
  outputOf('umoci', ['insert', '--rootless', ...image, ...history, tree, '/']);
  const words = [
    ...ENTRYPOINT.flatMap((word) => ['--config.entrypoint', word]),
    ...[
      '--config.workingdir',
      '/images',
      '--architecture',
      ARCHITECTURE,
      '--os',
      'linux',
      '--created',
      created,
    ],
    ...Object.entries(labels()).flatMap(([name, text]) => ['--config.label', `${name}=${text}`]),
  ];
  outputOf('umoci', ['config', '--no-history', ...image, ...words]);
  outputOf('umoci', ['gc', '--layout', target]);
}

function labels() {
  return {
    'org.opencontainers.image.title': MANIFEST.name,
    'org.opencontainers.image.version': VERSION,
    'org.opencontainers.image.description': MANIFEST.description,
    'org.opencontainers.image.licenses': MANIFEST.license,
  };
}

function pathOfLibrary(name) {
  const line = outputOf('/sbin/ldconfig', ['-p'])
    .split('\n')
    .find((text) => text.trim().startsWith(`${name} `));
  const path = line?.split(' => ')[1];
  if (path === undefined) throw new Error(`${name} is not installed; run: apt-get install ${OPTIONAL[name]}`);
  return path;
}

/** @returns {string[]} the files that the system's loader takes for programs and libraries, itself included */
function loadedBy(files) {
  const lines = outputOf('ldd', files).split('\n');
  const paths = lines.map((line) => /(\/\S+) \(0x[0-9a-f]+\)$/.exec(line)?.[1]);
  const missing = lines.find((line) => line.includes('not found'));
  if (missing !== undefined) throw new Error(missing.trim());
  return [...new Set(paths.filter((path) => path !== undefined))].sort();
}

/** @returns {string} the Debian package that a file belongs to, by either of its names on a merged /usr */
function packageOf(file) {
  const real = realpathSync(file);
  for (const name of [real, real.replace(/^\/usr/, ''), file, `/usr${file}`]) {
    try {
      return outputOf('dpkg-query', ['--search', name]).split(/[:,]/)[0];
    } catch (error) {
      if (!error.message.includes('no path found')) throw error;
    }
  }
  throw new Error(`${file} belongs to no Debian package, so its licence is unknown`);
}
