/**
 * Formats the description of an image in the lines of qemu-img 7.2 (bdrv_image_info_dump and bdrv_snapshot_dump in
 * QEMU's block/qapi.c). Control characters in text from an image are escaped, so that they cannot control the terminal.
 * Pure.
 */
import { quoted } from '../../errors.js';
import type { Examination } from '../../examine/examine-image.js';
import type { BackingInfo, ImageInfo, SnapshotInfo } from '../../info/image-info.js';
import { entriesOf, isList, type QapiValue } from '../options/qapi-object.js';
import { examinedRatio, nbdObject, qcow2Object, shownFile } from './image-object.js';
import { sizeText } from './size-text.js';

/** @returns lines for each image with their line ends, an empty line between two */
export function* imageInfoText(infos: readonly ImageInfo[]): Generator<string> {
  for (const [index, info] of infos.entries()) {
    if (index > 0) yield '\n';
    for (const line of linesOf(info)) yield `${line}\n`;
  }
}

/** Yields line by line: names in an image can make the text much longer than the image. */
function* linesOf(info: ImageInfo): Generator<string> {
  const { format, virtualSize, diskSize, nbd, qcow2 } = info;
  yield `image: ${visible(shownFile(info))}`;
  yield `file format: ${format}`;
  yield `virtual size: ${exactSize(virtualSize)}`;
  yield `disk size: ${diskSize === undefined ? 'unavailable' : sizeText(diskSize)}`;
  if (nbd !== undefined) {
    const { exports, ...known } = nbd;
    yield* ['NBD export:', ...objectLines(nbdObject(known, exports), '    ')];
  }
  if (qcow2 === undefined) return;
  if (qcow2.encryption !== undefined) yield 'encrypted: yes';
  yield `cluster_size: ${qcow2.clusterSize}`;
  if (qcow2.dirty) yield 'cleanly shut down: no';
  if (qcow2.backing !== undefined) yield* backingLines(qcow2.backing);
  if (qcow2.snapshots.length > 0) yield* ['Snapshot list:', SNAPSHOT_TITLES];
  for (const snapshot of qcow2.snapshots) yield snapshotLine(snapshot);
  yield 'Format specific information:';
  yield* objectLines(qcow2Object(qcow2), '    ');
  if (qcow2.deep !== undefined) yield* ['Deep inspection:', ...deepLines(qcow2.deep, qcow2.clusterSize)];
}

/** Text from the image, escaped to one line. */
function visible(text: string): string {
  return quoted(text).slice(1, -1);
}

function exactSize(bytes: number): string {
  return `${sizeText(bytes)} (${bytes} bytes)`;
}

function backingLines({ name, fullName, format }: BackingInfo): string[] {
  const path = fullName === name ? '' : ` (actual path: ${visible(fullName)})`;
  const formatLines = format === undefined ? [] : [`backing file format: ${visible(format)}`];
  return [`backing file: ${visible(name)}${path}`, ...formatLines];
}

const SNAPSHOT_TITLES = snapshotColumns('ID', 'TAG', 'VM SIZE', 'DATE', 'VM CLOCK', 'ICOUNT');

function snapshotLine(snapshot: SnapshotInfo): string {
  const { id, name, vmStateSize, dateSeconds, vmClock, icount } = snapshot;
  return snapshotColumns(
    visible(id),
    visible(name),
    sizeText(vmStateSize),
    dateText(dateSeconds),
    clockText(vmClock),
    icount === undefined ? '' : BigInt.asIntN(64, icount).toString(),
  );
}

function snapshotColumns(id: string, tag: string, size: string, date: string, clock: string, icount: string) {
  const left = `${padded(id, 9)} ${padded(tag, 16)} `;
  return left + size.padStart(8) + date.padStart(20) + clock.padStart(13) + icount.padStart(11);
}

/** Counts bytes, as printf does. */
function padded(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - Buffer.byteLength(text)));
}

/** In local time. */
function dateText(seconds: number): string {
  const date = new Date(seconds * 1000);
  const day = [date.getFullYear(), twoDigits(date.getMonth() + 1), twoDigits(date.getDate())].join('-');
  return `${day} ${[date.getHours(), date.getMinutes(), date.getSeconds()].map(twoDigits).join(':')}`;
}

/** Hours without an upper bound. */
function clockText(nanoseconds: bigint): string {
  const milliseconds = Number(nanoseconds / 1_000_000n);
  const seconds = Math.floor(milliseconds / 1000);
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60].map(twoDigits);
  return `${parts.join(':')}.${String(milliseconds % 1000).padStart(3, '0')}`;
}

function twoDigits(number: number): string {
  return String(number).padStart(2, '0');
}

/**
 * An object or a list, one line for each item, with nested items indented below (dump_qdict and dump_qlist in QEMU).
 */
function* objectLines(value: QapiValue, indentation: string): Generator<string> {
  if (typeof value !== 'object') return;
  const items = isList(value)
    ? value.map((item, index) => [`[${index}]`, item] as const)
    : entriesOf(value).map(([key, item]) => [key.replaceAll('-', ' '), item] as const);
  for (const [name, item] of items) {
    if (typeof item !== 'object') {
      yield `${indentation}${name}: ${visible(item.toString())}`;
      continue;
    }
    yield `${indentation}${name}:`;
    yield* objectLines(item, `${indentation}    `);
  }
}

/** Not in qemu-img. Payloads of snapshots are counted too: they share host clusters. */
function deepLines(deep: Examination, clusterSize: number): string[] {
  const { clusters, examined, broken, facts } = deep;
  const lines = [
    `compressed clusters: ${clusters.compressed}`,
    `normal clusters: ${clusters.normal}`,
    `zero clusters: ${clusters.zero}`,
    `unallocated clusters: ${clusters.unallocated}`,
    `broken clusters: ${broken}`,
  ];
  if (facts !== undefined && facts.compressedGuestBytes > 0) {
    const { compressedGuestBytes, payloadBytes, hostClusters, wastedBytes, window, checksums } = facts;
    lines.push(
      `payloads: ${examined}`,
      `uncompressed size: ${exactSize(compressedGuestBytes)}`,
      `compressed size: ${exactSize(payloadBytes)}`,
      `ratio of the data: ${examinedRatio(deep, clusterSize)?.toFixed(3)}`,
      `host clusters of payloads: ${hostClusters}`,
      `wasted size: ${exactSize(wastedBytes)}`,
      `window size: ${exactSize(window)}`,
      `payloads with checksum: ${checksums}`,
    );
  }
  return lines.map((line) => `    ${line}`);
}
