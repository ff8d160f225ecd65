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
       COMMAND | qcow2c convert [options] - DST

Copies the disk image SRC to DST; several SRC are joined end to end; '-' is a
raw disk from standard input. DST gets its name only when it is complete: after
an error or a signal whatever had that name is still there. With -n, or when DST
is a device, it is written in place.

Source:
  -f, --source-format FMT    raw or qcow2 (default: look into the file; then it
                             may name no backing file and no data file)
  --image-opts, --source-image-opts
                             SRC is not a name but options, for instance
                             driver=qcow2,file.filename=FILE; see below
  -l, --snapshot SNAPSHOT    read this internal snapshot: its identifier or
                             name, or snapshot.id=ID,snapshot.name=NAME
  --bitmaps                  copy the persistent dirty bitmaps
  --skip-broken-bitmaps      with --bitmaps: leave out inconsistent ones
  --salvage                  make zeros of what cannot be read, say where, and
                             go on
  --isolated                 refuse a SRC that names another file, whatever -f
                             and --image-opts say
  -T, --source-cache MODE    how SRC is read (default: writeback)
  -U, --force-share          accepted and without effect: qcow2c neither takes
                             nor tests locks, so SRC must not be in use

Target:
  -O, --target-format FMT    qcow2 or raw (default: qcow2 with -c or for a DST
                             that ends in .qcow2, else raw)
  -o, --target-format-options KEY=VALUE[,KEY=VALUE...]
                             options of the target's format; ',,' in a value is
                             a comma, the later of two equal keys wins;
                             '-o help' lists the keys
  -b, -B, --backing FILE     store only what differs from the image FILE, which
                             is looked for where DST is
  -F, --backing-format FMT   its format: raw or qcow2; required with -b
  -S, --sparse-size SIZE     0 stores every cluster; any other SIZE (default:
                             4k) leaves runs of zeros of at least this size
                             unallocated, with -c whole clusters
  -n, --no-create            write into the existing DST: a device, a raw file,
                             or a qcow2 image that holds no data yet
  --target-is-zero           with -n: all of DST reads as zeros already
  --target-image-opts        with -n: DST is not a name but options; see below
  -t, --target-cache MODE    how DST is written: none (O_DIRECT), directsync,
                             writethrough, writeback or unsafe (default: none,
                             or writeback where the file system refuses that)
  -r, --rate-limit SIZE      bytes written a second at most; 0: no limit

Compression:
  -c, --compress             compress the clusters
  --recompress               with -c: also what SRC has compressed already in
                             the same way, which else is checked and copied
  --engine NAME              auto, libdeflate, libzstd or node (default: auto,
                             the fastest that is installed)
  -m, --parallel N           worker threads (default: one for each processor)
  --compressed-cache-size SIZE
                             memory that gathers small writes; 0 writes every
                             cluster by itself
  -W, --oob-writes           accepted and without effect: the output is always
                             made in parallel and always deterministic
  -C, --copy-range-offloading
                             accepted and without effect; not with -c, -S or
                             --salvage
  --object DEFINITION        always refused: there is no encryption and no
                             network disk that it could serve

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

SRC and FILE are names of files or devices; "file:" before a name is dropped. A
word and a colon before any slash is a protocol, which is refused; a file of
such a name is './NAME'.

Options in the place of a name:
  driver=qcow2,file.filename=FILE
    [,backing.driver=FMT,backing.file.filename=FILE]   instead of what it names
    [,backing=]                                        as if it named none
    [,data-file.filename=FILE]                         instead of what it names
  driver=raw,file.filename=FILE[,offset=SIZE][,size=SIZE]
  file.filename=FILE                                   look into the file

Examples:
  Compress a disk and show how far it is:
    qcow2c convert -c -p disk.raw disk.qcow2
  With zstd, by four threads:
    qcow2c convert -c -o compression_type=zstd -m 4 disk.raw disk.qcow2
  As small as it gets with zlib, whatever the time:
    qcow2c convert -c -o compression_level=12,cluster_size=2M disk.raw out.qcow2
  Flatten a chain of trusted images:
    qcow2c convert -c -f qcow2 overlay.qcow2 disk.qcow2
  Write a snapshot out as a raw disk:
    qcow2c convert -f qcow2 -l before-upgrade -O raw disk.qcow2 disk.raw
  Store only what differs from a template:
    qcow2c convert -c -b template.qcow2 -F qcow2 disk.raw overlay.qcow2
  Compress a disk as it arrives:
    qcow2c convert -c - disk.qcow2

Exit codes:
  0                done
  1                an error; one line on standard error says which
  129, 130, 143    stopped by SIGHUP, SIGINT or SIGTERM
`;
