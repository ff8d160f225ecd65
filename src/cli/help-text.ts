/** The texts of --help, at most 80 columns wide. That no option is missing in them is tested. */

export const PROGRAM_HELP = `\
Usage: qcow2c convert [options] SRC [SRC...] DST
       qcow2c --version | --help

Makes compressed qcow2 disk images, as 'qemu-img convert -c' does: in parallel,
the same bytes on every run, and DST appears whole or not at all.

Commands:
  convert            copy disk images into a new one; 'qcow2c convert --help'
                     lists its options

Options:
  -V, --version      print the version and the compression engines found
  -h, --help         print this help

Example:
  qcow2c convert -c -p disk.raw disk.qcow2
`;

export const CONVERT_HELP = `\
Usage: qcow2c convert [options] SRC [SRC...] DST

Copies the disk image SRC to DST; several SRC are joined end to end. DST gets
its name only when it is complete: after an error or a signal whatever had that
name is still there. With -n, or when DST is a device, it is written in place.

Image:
  -f, --source-format FMT    raw or qcow2 (default: look into the file)
  -O, --target-format FMT    qcow2 or raw (default: qcow2 with -c or for a DST
                             that ends in .qcow2, else raw)
  -c, --compress             compress the clusters
  -o, --target-format-options KEY=VALUE[,KEY=VALUE...]
                             options of the target's format; ',,' in a value is
                             a comma, the later of two equal keys wins;
                             '-o help' lists the keys
  -S, --sparse-size SIZE     0 stores every cluster; any other SIZE (default:
                             4k) leaves clusters of zeros unallocated
  -n, --no-create            write into the existing DST

Compression:
  --engine NAME              auto, libdeflate, libzstd or node (default: auto,
                             the fastest that is installed)
  -m, --parallel N           worker threads (default: one for each processor)
  -W, --oob-writes           accepted and without effect: the output is always
                             made in parallel and always deterministic

Input and output:
  -t, --target-cache MODE    how DST is written: none (O_DIRECT), directsync,
                             writethrough, writeback or unsafe (default: none,
                             or writeback where the file system refuses that)
  -T, --source-cache MODE    how SRC is read (default: writeback)
  --compressed-cache-size SIZE
                             memory that gathers small writes; 0 writes every
                             cluster by itself

Messages:
  -p                         show progress; the same as --progress=auto
  --progress[=STYLE]         auto: a bar on a terminal, else as qemu; bar: on
                             standard error; qemu: the lines of 'qemu-img -p' on
                             standard output; json: an object a line on standard
                             error; none
  -q, --quiet                print nothing but errors
  -v, --verbose              say afterwards what was done, on standard error
  --debug                    show where an error comes from (or QCOW2C_DEBUG=1)
  -V, --version              print the version and the compression engines found
  -h, --help                 print this help

SIZE is in bytes; k, M, G, T, P and E stand for powers of 1024.

Examples:
  Compress a disk and show how far it is:
    qcow2c convert -c -p disk.raw disk.qcow2
  With zstd, by four threads:
    qcow2c convert -c -o compression_type=zstd -m 4 disk.raw disk.qcow2
  As small as it gets with zlib, whatever the time:
    qcow2c convert -c -o compression_level=12,cluster_size=2M disk.raw out.qcow2

Exit codes:
  0                done
  1                an error; one line on standard error says which
  129, 130, 143    stopped by SIGHUP, SIGINT or SIGTERM
`;
