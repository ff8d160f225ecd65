/**
 * Bytes of a sector: the unit of QEMU's block layer, of virtual sizes and of compressed lengths in qcow2, whatever the
 * disk's own sector is (BDRV_SECTOR_SIZE in QEMU).
 */
export const SECTOR_SIZE = 512;
