// Sides that read from an NBD server, or write to one. The server's start and end count, too.
import { spawnSync } from 'node:child_process';
import { COMPRESS, DIRECT, PARALLEL, START } from './commands.js';
import { BITMAP } from './corpora.js';

/**
 * @typedef {import('./commands.js').Program} Program
 * @typedef {import('./sides.js').Side} Side
 */

/** Starts a server of the file $disk on $socket, which writes $socket.pid and returns when it can be connected to. */
const SERVERS = {
  'qemu-nbd': 'qemu-nbd --fork -t -r -f raw -e 4 -k "$socket" --pid-file "$socket.pid" "$disk"',
  nbdkit:
    'nbdkit -r -U "$socket" --pidfile "$socket.pid" file "$disk" && until test -S "$socket"; do :; done',
};
const SERVE_BITMAP = `qemu-nbd --fork -t -r -f qcow2 -e 8 -B ${BITMAP} -k "$socket" --pid-file "$socket.pid" "$disk"`;
const SERVE_FOR_WRITING = 'qemu-nbd --fork -t -f raw -e 8 -k "$socket" --pid-file "$socket.pid" "$disk"';

/**
 * @param {string} start a shell command that starts the server @param {string} disk the file that it serves
 * @param {string} socket @param {string[]} command that runs meanwhile
 * @returns {string[]} a command that ends as `command` does
 */
const whileServed = (start, disk, socket, command) => [
  'bash',
  '-c',
  `disk=$1 socket=$2; shift 2; rm -f "$socket"; ${start} || exit
server=$(cat "$socket.pid"); "$@"; code=$?; kill "$server"; rm -f "$socket" "$socket.pid"; exit $code`,
  ...['bash', disk, socket, ...command],
];

/** @param {string} target @returns the socket beside it, and the URI of the export */
const exportBeside = (target) => {
  const socket = `${target}.socket`;
  return { socket, uri: `nbd+unix:///?socket=${socket}` };
};

/**
 * Compresses a raw disk that a server exports.
 * @param {string} corpus @param {keyof typeof SERVERS} server @param {Program} program
 * @returns {Side}
 */
export function fromServer(corpus, server, program) {
  const options = program === 'qcow2c' ? DIRECT : PARALLEL;
  return {
    id: `${corpus}/${server}-${program}`,
    corpus,
    label: [program, 'convert -c', ...options, 'from', server].join(' '),
    makes: 'image',
    command: (source, target) => {
      const { socket, uri } = exportBeside(target);
      const command = [...START[program], ...COMPRESS, ...options, uri, target];
      return whileServed(SERVERS[server], source, socket, command);
    },
  };
}

/** @param {string} image @returns {number} bytes of its disk */
function diskSize(image) {
  const { stdout } = spawnSync('qemu-img', ['info', '-f', 'qcow2', '--output=json', image], {
    encoding: 'utf8',
  });
  return JSON.parse(stdout)['virtual-size'];
}

/**
 * Restores an image into the export of a new file.
 * @param {string} corpus @param {Program} program @param {string[]} options
 * @returns {Side}
 */
export const restored = (corpus, program, ...options) => ({
  id: `${corpus}/${program}${options.length === 0 ? '' : '-parallel'}-restore`,
  corpus,
  label: [program, 'convert -f qcow2 -O raw -n', ...options, 'into qemu-nbd -e 8'].join(' '),
  makes: 'raw',
  command: (source, target) => {
    const { socket, uri } = exportBeside(target);
    const start = `truncate -s ${diskSize(source)} "$disk" && ${SERVE_FOR_WRITING}`;
    const words = ['convert', '-f', 'qcow2', '-O', 'raw', '-n', ...options, source, uri];
    return whileServed(start, target, socket, [...START[program], ...words]);
  },
});

/** @param {boolean} served over NBD @returns {Side} an incremental image from the dirty bitmap */
export const incremental = (served) => ({
  id: `changed100g/${served ? 'nbd' : 'file'}`,
  corpus: 'changed100g',
  label: `qcow2c convert -c --bitmap -B BEFORE${served ? ' from qemu-nbd -r -e 8' : ''}`,
  makes: 'image',
  command: (source, target, other) => {
    const { socket, uri } = exportBeside(target);
    const command = [
      ...[...START.qcow2c, 'convert', '-f', served ? 'raw' : 'qcow2', '-c', ...DIRECT],
      ...['--bitmap', BITMAP, '-B', other('before100g'), '-F', 'qcow2'],
      ...[served ? uri : source, target],
    ];
    return served ? whileServed(SERVE_BITMAP, source, socket, command) : command;
  },
});
