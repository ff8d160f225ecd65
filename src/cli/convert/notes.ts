/** The notes in the help of `convert`: names, sizes, pipes and lists of options. */
import { type Note, SIZES } from '../options/option-table.js';

export const CONVERT_NOTES: readonly Note[] = [
  SIZES,
  {
    paragraphs: [
      'SRC and FILE are names of files or devices. A prefix "file:" is removed. Names that begin with a protocol ' +
        "of QEMU (json:, ssh: and so on) or like a URI (word://) are refused; write './NAME' for such a file. Any " +
        'other colon is part of the name, as in vm-2026-11-29T08:00.qcow2.',
    ],
  },
  {
    title: 'An export of an NBD server as SRC',
    verbatim: [
      'nbd://HOST[:PORT]/EXPORT           encrypted: nbds://',
      'nbd+unix:///EXPORT?socket=PATH     encrypted: nbds+unix://',
      'nbd:HOST:PORT[:exportname=EXPORT]',
      'nbd:unix:PATH[:exportname=EXPORT]',
    ],
  },
  {
    title: 'A disk from a pipe',
    paragraphs: [
      'The reader of a pipe cannot see that the writing program failed: a truncated disk looks complete. An empty ' +
        'stream is an error (unless -o size=0 is given). To detect other truncated streams, the safest way first:',
    ],
    verbatim: [
      '-o size=SIZE     any other length is an error; DST is unchanged',
      '--min-size SIZE  a shorter disk is an error; DST is unchanged',
      'set -o pipefail  the shell reports the failure; DST is replaced',
    ],
  },
  {
    title: 'An image into a pipe',
    paragraphs: [
      'The reader of a pipe has the whole image only if qcow2c exits with 0 (set -o pipefail). If SRC changes ' +
        "meanwhile, qcow2c exits with 1 and the last MiB is missing, which 'qemu-img check' reports.",
    ],
    verbatim: ["qcow2c convert -c disk.raw - | ssh host 'cat > disk.qcow2'"],
  },
  {
    title: 'Options instead of a name',
    verbatim: [
      'driver=qcow2,file.filename=FILE',
      '  [,backing.driver=FMT,backing.file.filename=FILE]  other backing file',
      '  [,backing=]                                       no backing file',
      '  [,data-file.filename=FILE]                        other data file',
      'driver=raw,file.filename=FILE[,offset=SIZE][,size=SIZE]',
      'file.filename=FILE                                  probe the format',
      'driver=nbd,server.type=unix,server.path=PATH[,export=EXPORT]',
      'driver=nbd,server.type=inet,server.host=HOST[,server.port=PORT]',
    ],
  },
];
