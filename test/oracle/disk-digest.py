# The digest of a disk, written from its definition: the SHA-256 of the SHA-256 of each block of 64 KiB, one after the
# other (the last block may be shorter), followed by the length of the disk as a 64-bit little-endian number.
import hashlib
import sys

for name in sys.argv[1:]:
    outer = hashlib.sha256()
    length = 0
    with open(name, 'rb') as disk:
        while block := disk.read(65536):
            outer.update(hashlib.sha256(block).digest())
            length += len(block)
    outer.update(length.to_bytes(8, 'little'))
    print(outer.hexdigest())
