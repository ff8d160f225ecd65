/** The settings of the items of an input, for small disks. */
import type { ItemSettings } from '../../src/convert/input.js';

/** Bytes of an item. */
export const ITEM = 4096;

export const SETTINGS: ItemSettings = {
  itemSize: ITEM,
  clusterSize: 512,
  keepZeros: false,
  backing: undefined,
  room: undefined,
};
