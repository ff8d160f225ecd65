/**
 * The colours of the picture and their meanings. Green and blue: stored in this file, darker for more space. Orange and
 * brown: in other files. Grey: not stored. Colour-blind people can tell them apart too.
 */
import type { FileKind } from '../../../map/file-kinds.js';
import type { DiskKind } from '../../../map/survey-disk.js';

export interface Appearance {
  readonly colour: string;
  readonly label: string;
  /** Not stored: a small share of it may be invisible. */
  readonly empty?: true;
}

/** For compressed clusters, by their compression ratio: up to a quarter, a half, three quarters, more. */
export const RATIO_COLOURS = ['#98d8a0', '#4bb3c6', '#2a85bd', '#2257a3'] as const;
const AS_IT_IS = '#0c2c84';
const KEPT = '#fde58a';

/** In stacking order, from below. */
export const DISK_KINDS: readonly (readonly [Exclude<DiskKind, 'payload'>, Appearance])[] = [
  ['data', { colour: AS_IT_IS, label: 'uncompressed' }],
  ['compressed', { colour: RATIO_COLOURS[1], label: 'compressed' }],
  ['backing1', { colour: '#e69f00', label: 'in the backing file' }],
  ['backing2', { colour: '#cc5500', label: 'in its backing file' }],
  ['backing3', { colour: '#7f2704', label: 'in deeper backing files' }],
  ['preallocated', { colour: KEPT, label: 'preallocated' }],
  ['zero', { colour: '#b8b3ab', label: 'zeros' }],
  ['unallocated', { colour: '#eceef1', label: 'unallocated', empty: true }],
];

export const FILE_KINDS: readonly (readonly [Exclude<FileKind, 'sparse'>, Appearance])[] = [
  ['header', { colour: '#000000', label: 'header' }],
  ['l1', { colour: '#a50026', label: 'L1 table' }],
  ['l2', { colour: '#f0532d', label: 'L2 tables' }],
  ['refcounts', { colour: '#f7b500', label: 'refcount table and blocks' }],
  ['snapshots', { colour: '#9b4fb5', label: 'tables of snapshots' }],
  ['bitmaps', { colour: '#c2548f', label: 'bitmaps' }],
  ['data', { colour: AS_IT_IS, label: 'normal clusters' }],
  ['compressed', { colour: RATIO_COLOURS[1], label: 'compressed clusters' }],
  ['preallocated', { colour: KEPT, label: 'preallocated' }],
  ['snapshotData', { colour: '#a58bff', label: 'clusters of snapshots only' }],
  ['slack', { colour: '#b09a76', label: 'slack beside payloads' }],
  ['leaked', { colour: '#ff00dd', label: 'leaked clusters' }],
  ['unused', { colour: '#c6c2bb', label: 'unused', empty: true }],
  ['hole', { colour: '#eceef1', label: 'hole', empty: true }],
];
