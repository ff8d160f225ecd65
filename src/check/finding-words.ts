/** Words findings as qemu-img does (block/qcow2-refcount.c in QEMU). Used by the command and its repair. */
import { quoted } from '../errors.js';
import { compressedOffsetBits, OFFSET_MASK } from '../qcow2/entry-bits.js';
import { type DamagedCluster, type Finding, unreadTable } from './findings.js';

const hex = (value: bigint | number) => value.toString(16);
/** As printf's %#x: 0 has no prefix. */
const prefixed = (value: bigint | number) => (BigInt(value) === 0n ? '0' : `0x${hex(value)}`);
const offsetIn = (entry: bigint) => entry & OFFSET_MASK;
/** Text from the image, escaped so that it stays on one line. */
const plain = (text: string) => quoted(text).slice(1, -1);

/**
 * Formats one finding as one or more lines, without the last line end.
 * @param clusterBits of the image
 * @param repairing whether it is being repaired
 */
export function findingWords(finding: Finding, clusterBits: number, repairing = false): string {
  const error = repairing ? 'Repairing' : 'ERROR';
  switch (finding.kind) {
    case 'refcount': {
      const { cluster, found, expected } = finding;
      const verb = !repairing && found > BigInt(expected) ? 'Leaked' : error;
      return `${verb} cluster ${cluster} refcount=${found} reference=${expected}`;
    }
    case 'refcount-unreadable':
      return `Can't get refcount for cluster ${finding.cluster}: ${finding.reason}`;
    case 'refcount-block-unusable':
      return (
        `qcow2: Image is corrupt: Refblock offset ${prefixed(finding.offset)} unaligned (reftable index: ` +
        `${prefixed(finding.index)}); further non-fatal corruption events will be suppressed`
      );
    case 'copied-flag-l2-table': {
      const { index, entry, refcount } = finding;
      return `${error} OFLAG_COPIED L2 cluster: l1_index=${index} l1_entry=${hex(entry)} refcount=${refcount}`;
    }
    case 'copied-flag-cluster':
      return `${error} OFLAG_COPIED data cluster: l2_entry=${hex(finding.entry)} refcount=${finding.refcount}`;
    case 'past-end':
      return (
        'ERROR: counting reference for region exceeding the end of the file by one cluster or more: offset ' +
        `0x${hex(finding.offset)} size 0x${hex(finding.size)}`
      );
    case 'cut-short': {
      const { part, offset, size, fileEnd } = finding;
      const missing = Math.min(Number(size), Number(offset + size) - fileEnd);
      const refersTo =
        unreadTable(finding) === undefined ? '' : '; clusters that it refers to may seem to leak';
      return (
        `ERROR ${part} at offset 0x${hex(offset)} ends past the end of the file: ${missing} of ${size} bytes ` +
        `are missing, QEMU reads them as zeros${refersTo}`
      );
    }
    case 'overflow':
      return (
        `ERROR: overflow cluster offset=0x${hex(finding.offset)}\n` +
        'Use qemu-img amend to increase the refcount entry width or qemu-img convert to create a clean copy ' +
        'if the image cannot be opened for writing'
      );
    case 'l1-reserved-bits':
      return `ERROR found L1 entry with reserved bits set: ${hex(finding.entry)}`;
    case 'l2-table-unaligned':
      return `ERROR l2_offset=${hex(offsetIn(finding.entry))}: Table is not cluster aligned; L1 entry corrupted`;
    case 'l2-reserved-bits':
      return `ERROR found l2 entry with reserved bits set: ${hex(finding.entry)}`;
    case 'compressed-copied-flag': {
      const offset = finding.entry & ((1n << BigInt(compressedOffsetBits(clusterBits))) - 1n);
      return `ERROR: coffset=0x${hex(offset)}: copied flag must never be set for compressed clusters`;
    }
    case 'compressed-in-data-file':
      return `ERROR compressed cluster ${finding.index} with data file, entry=0x${hex(finding.entry)}`;
    case 'compressed-subclusters':
      return (
        `ERROR compressed cluster ${finding.index} with non-zero subcluster allocation bitmap, ` +
        `entry=0x${hex(finding.entry)}`
      );
    case 'subclusters-contradictory':
      return `ERROR offset=${hex(offsetIn(finding.entry))}: Allocated cluster has corrupted subcluster allocation bitmap`;
    case 'subclusters-without-cluster':
      return 'ERROR: Unallocated cluster has non-zero subcluster allocation map';
    case 'cluster-unaligned': {
      const at = `offset=${hex(offsetIn(finding.entry))}`;
      return finding.fixed === undefined
        ? `ERROR ${at}: Data cluster is not properly aligned; L2 entry corrupted.`
        : `${error} ${at}: Preallocated cluster is not properly aligned; L2 entry corrupted.`;
    }
    case 'snapshots-with-data-file':
      return `ERROR ${finding.count} snapshots in image with data file`;
    case 'snapshot-l1-unaligned': {
      const { id, name, l1Offset } = finding;
      return (
        `ERROR snapshot ${plain(id)} (${plain(name)}) l1_offset=${prefixed(l1Offset)}: L1 table is not cluster ` +
        'aligned; snapshot table entry corrupted'
      );
    }
    case 'snapshot-l1-too-large': {
      const { id, name, l1Entries } = finding;
      return (
        `ERROR snapshot ${plain(id)} (${plain(name)}) l1_size=${prefixed(l1Entries)}: L1 table is too large; ` +
        'snapshot table entry corrupted'
      );
    }
    case 'snapshot-incomplete':
      return `${error} snapshot table entry ${finding.index} is incomplete`;
    case 'refcount-table-reserved-bits':
      return `ERROR refcount table entry ${finding.index} has reserved bits set`;
    case 'refcount-block-unaligned':
      return `ERROR refcount block ${finding.index} is not cluster aligned; refcount table entry corrupted`;
    case 'refcount-block-outside':
      return `${error} refcount block ${finding.index} is outside image`;
    case 'refcount-block-shared':
      return `ERROR refcount block ${finding.index} refcount=${finding.references}`;
    case 'payload':
      return `ERROR compressed ${cluster(finding)}`;
    case 'odd-payload':
      return `WARNING compressed ${cluster(finding)}; QEMU reads it all the same`;
    case 'unreadable':
      return `ERROR ${cluster(finding)}`;
  }
}

function cluster({ guestOffset, hostOffset, snapshot, reason }: DamagedCluster): string {
  const where = snapshot === undefined ? '' : `, snapshot ${plain(snapshot)}`;
  return `cluster at guest offset ${guestOffset} (host offset ${hostOffset}${where}): ${reason}`;
}
