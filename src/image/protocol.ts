/**
 * Which names QEMU takes for a protocol, and which of them are protocols. A colon before any slash is enough for QEMU
 * (path_has_protocol in its block.c), which so takes `vm-2026-11-29T08:00.qcow2` for one and then refuses it. Here a
 * name is a protocol only when it begins with a word that QEMU knows, or like a URI. Every other name is a file's.
 */

/** The protocol names of QEMU's block drivers (`protocol_name`), but `file`; and `json:`, which it treats alike. */
export const PROTOCOLS = [
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
 * @returns the word before the colon, of a protocol that QEMU knows or of what looks like a URI; undefined: the name is
 *   a file's, with or without `file:` before it
 */
export function protocolOf(name: string): string | undefined {
  const word = /^([^:/]*):/.exec(name)?.[1];
  if (word === undefined || word === 'file') return undefined;
  return isProtocol(word) || /^[a-z][a-z0-9+.-]*:\/\//.test(name) ? word : undefined;
}

/** Whether QEMU takes the name for a protocol, right or wrong. */
export function readsAsProtocol(name: string): boolean {
  return /^[^/:]*:/.test(name);
}

/**
 * @param name of a file, as an image is to hold it
 * @returns a name that leads every reader to the same file, QEMU too
 */
export function storableName(name: string): string {
  const isFile = protocolOf(name) === undefined && !name.startsWith('file:');
  return isFile && readsAsProtocol(name) ? `./${name}` : name;
}
