/**
 * Decides whether a name has a protocol. In QEMU every name with a colon before any slash has one (path_has_protocol in
 * block.c), even `vm-2026-11-29T08:00.qcow2`, which QEMU then refuses. In qcow2c a name has a protocol only if it
 * starts with a protocol name that QEMU knows or looks like a URI. Every other name is a file's.
 */

/** The protocol names of QEMU's block drivers (`protocol_name`) except `file`; and `json:`, which QEMU treats alike. */
const PROTOCOLS = [
  ...['http', 'https', 'ftp', 'ftps'],
  ...['nbd', 'nbd+tcp', 'nbd+unix', 'nbds', 'nbds+tcp', 'nbds+unix'],
  ...['ssh', 'rbd', 'iscsi', 'iser', 'nfs', 'gluster', 'gluster+tcp', 'gluster+unix', 'gluster+rdma'],
  ...['blkdebug', 'blkverify', 'fat', 'null-aio', 'null-co', 'nvme'],
  ...['host_device', 'host_cdrom', 'json'],
] as const;

export type Protocol = (typeof PROTOCOLS)[number];

export function isProtocol(word: string): word is Protocol {
  return PROTOCOLS.some((protocol) => protocol === word);
}

/**
 * @returns the word before the colon if QEMU knows it as a protocol or the name looks like a URI; undefined for the
 *   name of a file, with or without the prefix `file:`
 */
export function protocolOf(name: string): string | undefined {
  const word = /^([^:/]*):/.exec(name)?.[1];
  if (word === undefined || word === 'file') return undefined;
  return isProtocol(word) || /^[a-z][a-z0-9+.-]*:\/\//.test(name) ? word : undefined;
}

/** Whether QEMU takes the start of the name for a protocol, even where qcow2c does not. */
export function readsAsProtocol(name: string): boolean {
  return /^[^/:]*:/.test(name);
}

/**
 * @param name of a file, to be stored in an image
 * @returns a name that QEMU and qcow2c resolve to the same file
 */
export function storableName(name: string): string {
  const isFile = protocolOf(name) === undefined && !name.startsWith('file:');
  return isFile && readsAsProtocol(name) ? `./${name}` : name;
}
