/** Broken libraries, made for the tests and loaded in place of the system's own. */
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runOk } from '../oracle/run.js';

/** The names that the loader tries; with development packages installed there are several. */
const NAMES = {
  isal: ['libisal.so.2', 'libisal.so'],
  libdeflate: ['libdeflate.so.0', 'libdeflate.so'],
  libzstd: ['libzstd.so.1', 'libzstd.so'],
} as const;
export type LibraryName = Exclude<keyof typeof NAMES, 'isal'>;

const CRASH = `static void crash(void) { *(volatile int *)0 = 1; }\n`;

const LIBDEFLATE = {
  allocate: `static char context[64];
void *libdeflate_alloc_compressor(int level) { return context; }
void *libdeflate_alloc_decompressor(void) { return context; }
void libdeflate_free_compressor(void *c) {}
void libdeflate_free_decompressor(void *d) {}\n`,
  refuse: `void *libdeflate_alloc_compressor(int level) { return 0; }
void *libdeflate_alloc_decompressor(void) { return 0; }
void libdeflate_free_compressor(void *c) {}
void libdeflate_free_decompressor(void *d) {}\n`,
  compress: (body: string) =>
    `unsigned long libdeflate_deflate_compress(void *c, const char *in, unsigned long n, char *out, unsigned long m) { ${body} }\n`,
  inflate: (body: string) =>
    `int libdeflate_deflate_decompress_ex(void *d, const char *in, unsigned long n, char *out, unsigned long m, unsigned long *taken, unsigned long *made) { ${body} }\n`,
};

const LIBZSTD = {
  allocate: `static char context[64];
const char *ZSTD_versionString(void) { return "1.5.9"; }
const char *ZSTD_getErrorName(long code) { return "error"; }
void *ZSTD_createCCtx(void) { return context; }
void *ZSTD_createDCtx(void) { return context; }
unsigned long ZSTD_freeCCtx(void *c) { return 0; }
unsigned long ZSTD_freeDCtx(void *d) { return 0; }
long ZSTD_DCtx_reset(void *d, int what) { return 0; }
long ZSTD_CCtx_setParameter(void *c, int parameter, int value) { return 0; }\n`,
  compress: (body: string) =>
    `long ZSTD_compress2(void *c, char *out, unsigned long m, const char *in, unsigned long n) { ${body} }\n`,
  inflate: (body: string) => `long ZSTD_findFrameCompressedSize(const char *in, unsigned long n) { return n; }
long ZSTD_decompressDCtx(void *d, char *out, unsigned long m, const char *in, unsigned long n) { ${body} }
long ZSTD_decompressStream_simpleArgs(void *d, char *out, unsigned long m, unsigned long *made, const char *in, unsigned long n, unsigned long *taken) { *made = m; *taken = n; ${body} }\n`,
};

/** A copy: stored data with a length of a twentieth, or an empty result. */
const COPY = 'for (unsigned long i = 0; i < n / 20; i++) out[i] = in[i]; return n / 20;';

/** Sources of libraries that load and do not work, by their defect. */
export const FAKES: Readonly<Record<LibraryName, Readonly<Record<string, string>>>> = {
  libdeflate: {
    'of another kind': 'int something_else(void) { return 1; }\n',
    'too old, without a function': LIBDEFLATE.allocate + LIBDEFLATE.compress('return 0;'),
    'that gives no context':
      LIBDEFLATE.refuse + LIBDEFLATE.compress('return 0;') + LIBDEFLATE.inflate('return 0;'),
    'that compresses nothing':
      LIBDEFLATE.allocate + LIBDEFLATE.compress('return 0;') + LIBDEFLATE.inflate('return 0;'),
    'that compresses to what is no deflate':
      LIBDEFLATE.allocate + LIBDEFLATE.compress(COPY) + LIBDEFLATE.inflate('*taken = n; return 0;'),
    'that says it wrote more than there is room for':
      LIBDEFLATE.allocate + LIBDEFLATE.compress('return m + 1;') + LIBDEFLATE.inflate('return 0;'),
  },
  libzstd: {
    'of another kind': 'int something_else(void) { return 1; }\n',
    'too old, without a function': LIBZSTD.allocate + LIBZSTD.compress('return 0;'),
    'that answers with errors':
      LIBZSTD.allocate + LIBZSTD.compress('return -1;') + LIBZSTD.inflate('return -1;'),
    'that compresses to what is no frame':
      LIBZSTD.allocate + LIBZSTD.compress(COPY) + LIBZSTD.inflate('return m;'),
  },
};

const ISAL = (body: string) => `void isal_deflate_stateless_init(char *stream) {}
int isal_deflate_stateless(char *stream) { ${body} }\n`;

/** The same of ISA-L, which only compresses. total_out is at offset 28 of its stream. */
export const ISAL_FAKES: Readonly<Record<string, string>> = {
  'of another kind': 'int something_else(void) { return 1; }\n',
  'too old, without a function': 'int isal_deflate_stateless(char *stream) { return 0; }\n',
  'that fails': ISAL('return -4;'),
  'that compresses nothing': ISAL('*(int *)(stream + 28) = 0; return 0;'),
  'that compresses to what is no deflate': ISAL('*(int *)(stream + 28) = 200; return 0;'),
  'that says it wrote more than there is room for': ISAL('*(int *)(stream + 28) = 1 << 30; return 0;'),
};

/** Crashes of the whole process: when the library is loaded, and when it is first used. */
export const CRASHES: Readonly<Record<LibraryName, Readonly<Record<string, string>>>> = {
  libdeflate: {
    'as it is loaded': `${CRASH}__attribute__((constructor)) static void start(void) { crash(); }\n`,
    'when it is used':
      CRASH +
      LIBDEFLATE.allocate +
      LIBDEFLATE.compress('crash(); return 0;') +
      LIBDEFLATE.inflate('crash(); return 0;'),
  },
  libzstd: {
    'as it is loaded': `${CRASH}__attribute__((constructor)) static void start(void) { crash(); }\n`,
    'when it is used':
      CRASH +
      LIBZSTD.allocate +
      LIBZSTD.compress('crash(); return 0;') +
      LIBZSTD.inflate('crash(); return 0;'),
  },
};

/** Files that are no library for this machine, made of one that is. */
export const UNLOADABLE: Readonly<Record<string, (library: Buffer) => Buffer>> = {
  'that is text': () => Buffer.from('/* GNU ld script */\n'),
  'that is empty': () => Buffer.alloc(0),
  'that is cut off in its header': (library) => library.subarray(0, 40),
  'for another architecture': (library) => {
    // e_machine of the ELF header; 8 is MIPS.
    const other = Buffer.from(library);
    other.writeUInt16LE(8, 18);
    return other;
  },
};

/** Compiles C without the C library's own files. @returns the library's file */
export async function compile(source: string, directory: string): Promise<string> {
  await mkdir(directory, { recursive: true });
  const [text, library] = [join(directory, 'fake.c'), join(directory, 'fake.so')];
  await writeFile(text, source);
  // As it stands: no calls may be made of loops, nor crashes be reasoned away.
  // Once loaded it stays: the loader would give its name to the library that has its calls made.
  await runOk('cc', ['-shared', '-fPIC', '-nostdlib', '-O0', '-Wl,-z,nodelete', '-o', library, text]);
  return library;
}

/** @returns the environment in which the loader finds `file` where it is asked for the library */
export async function inFront(
  name: keyof typeof NAMES,
  file: string,
  directory: string,
): Promise<{ LD_LIBRARY_PATH: string }> {
  await mkdir(directory, { recursive: true });
  for (const soname of NAMES[name]) await cp(file, join(directory, soname));
  return { LD_LIBRARY_PATH: directory };
}

/** What gives memory and takes it back, and all else that is used, of each library. */
const CALLS: Readonly<Record<LibraryName, { gives: string[]; takes: string[]; others: string[] }>> = {
  libdeflate: {
    gives: ['libdeflate_alloc_compressor', 'libdeflate_alloc_decompressor'],
    takes: ['libdeflate_free_compressor', 'libdeflate_free_decompressor'],
    others: ['libdeflate_deflate_compress', 'libdeflate_deflate_decompress_ex'],
  },
  libzstd: {
    gives: ['ZSTD_createCCtx', 'ZSTD_createDCtx'],
    takes: ['ZSTD_freeCCtx', 'ZSTD_freeDCtx'],
    others: [
      ...['ZSTD_versionString', 'ZSTD_getErrorName', 'ZSTD_CCtx_setParameter', 'ZSTD_compress2'],
      ...['ZSTD_findFrameCompressedSize', 'ZSTD_decompressDCtx', 'ZSTD_DCtx_reset'],
      'ZSTD_decompressStream_simpleArgs',
    ],
  },
};

/**
 * @param library the file of one that works
 * @param log a file to which `+` is added for each context that it gives, and `-` for each that it takes back
 * @returns the source of a library that has all calls made by that one
 */
export function counting(name: LibraryName, library: string, log: string): string {
  const { gives, takes, others } = CALLS[name];
  // RTLD_LAZY | RTLD_DEEPBIND: or it would call functions of Node's own zstd.
  // Every argument is a pointer or a number as wide as one; extra arguments are ignored.
  const relay = (call: string, note: string) => `
long ${call}(long a, long b, long c, long d, long e, long f, long g) {
  static long (*real)(long, long, long, long, long, long, long);
  if (!real) real = dlsym(dlopen(${JSON.stringify(library)}, 9), "${call}");
  ${note}
  return real(a, b, c, d, e, f, g);
}\n`;
  const noted = (mark: string) => `write(file, "${mark}", 1);`;
  return [
    'void *dlopen(const char *, int); void *dlsym(void *, const char *); int open(const char *, int, ...);',
    'long write(int, const char *, unsigned long); static int file;',
    // O_WRONLY | O_APPEND | O_CLOEXEC
    `__attribute__((constructor)) static void start(void) { file = open(${JSON.stringify(log)}, 02002001); }`,
    ...gives.map((call) => relay(call, noted('+'))),
    ...takes.map((call) => relay(call, noted('-'))),
    ...others.map((call) => relay(call, '')),
  ].join('\n');
}

/** Clusters that `erring` gets wrong are longer than any sample, and have this remainder of their middle byte by 3. */
export const ERRING = { above: 65536, remainder: 1 } as const;

/**
 * The source of a library that forwards all calls to `library`, but compresses some clusters wrongly, as libzstd 1.5.0
 * to 1.5.4 rarely does: to a valid payload of other bytes. The zstd claims to be 1.5.4, and is wrong from level 13 on.
 */
export function erring(name: LibraryName, library: string): string {
  const { gives, takes, others } = CALLS[name];
  const isZstd = name === 'libzstd';
  const compress = isZstd ? 'ZSTD_compress2' : 'libdeflate_deflate_compress';
  const calls = [...gives, ...takes, ...others].filter(
    (call) => call !== compress && call !== 'ZSTD_versionString',
  );
  const real = (call: string) => `
  static long (*real)(long, long, long, long, long, long, long);
  if (!real) real = dlsym(dlopen(${JSON.stringify(library)}, 9), "${call}");`;
  const relay = (call: string) => `
long ${call}(long a, long b, long c, long d, long e, long f, long g) {${real(call)}
  ${call === 'ZSTD_CCtx_setParameter' ? 'if (b == 100) remember(a, c);' : ''}
  return real(a, b, c, d, e, f, g);
}`;
  // Input and its length are the fourth and fifth argument of one, the second and third of the other.
  const [input, length] = isZstd ? ['d', 'e'] : ['b', 'c'];
  return `
void *dlopen(const char *, int); void *dlsym(void *, const char *);
void *malloc(unsigned long); void free(void *); void *memcpy(void *, const void *, unsigned long);
static long contexts[256], levels[256];
static void remember(long context, long level) {
  int i = 0;
  while (contexts[i] && contexts[i] != context) i++;
  contexts[i] = context;
  levels[i] = level;
}
static int errs(long context) {
  for (int i = 0; i < 256; i++) if (contexts[i] == context) return levels[i] >= 13;
  return ${isZstd ? 0 : 1};
}
${isZstd ? 'const char *ZSTD_versionString(void) { return "1.5.4"; }' : ''}
${calls.map(relay).join('\n')}
long ${compress}(long a, long b, long c, long d, long e, long f, long g) {${real(compress)}
  const unsigned char *in = (const unsigned char *)${input};
  unsigned long n = ${length};
  if (n <= ${ERRING.above} || in[n / 2] % 3 != ${ERRING.remainder} || !errs(a)) return real(a, b, c, d, e, f, g);
  unsigned char *other = malloc(n);
  memcpy(other, in, n);
  other[n / 2] ^= 1;
  ${input} = (long)other;
  long size = real(a, b, c, d, e, f, g);
  free(other);
  return size;
}`;
}
