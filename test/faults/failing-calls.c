/* Preloaded before the C library (LD_PRELOAD), makes chosen calls on the files of one directory fail: see
 * failing-calls.ts. It counts the calls of each kind of operation. A failing call has no effect, with two exceptions:
 * close releases the descriptor, and a short read or write moves its first bytes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(type, name, ...) \
  static type (*real)(__VA_ARGS__); \
  if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

enum { MOST_FILES = 1024, PATH_BYTES = 1024, SECTOR = 512, BLOCK = 4096 };
enum cut { WHOLE, ONE_BYTE, HALF, ALL_BUT_A_SECTOR };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char directory[PATH_BYTES];
/* Paths of open files in the directory; empty for all other descriptors. */
static char paths[MOST_FILES][PATH_BYTES];
/* Whether the file was changed through the descriptor. */
static char changed[MOST_FILES];
static struct {
  char operation[32];
  long first, last;
  int error;
  enum cut cut;
} plan;
/* Calls of each kind since the plan was made. */
static struct {
  const char *operation;
  long count;
} seen[32];
static int counts;
static char report[PATH_BYTES + 4096];

void faults_watch(const char *path) { snprintf(directory, sizeof directory, "%s/", path); }

void faults_arm(const char *operation, long first, long last, int error, int cut) {
  pthread_mutex_lock(&mutex);
  snprintf(plan.operation, sizeof plan.operation, "%s", operation);
  plan.first = first;
  plan.last = last;
  plan.error = error;
  plan.cut = cut;
  memset(seen, 0, sizeof seen);
  counts = 1;
  report[0] = 0;
  pthread_mutex_unlock(&mutex);
}

void faults_disarm(void) {
  pthread_mutex_lock(&mutex);
  plan.operation[0] = 0;
  counts = 0;
  pthread_mutex_unlock(&mutex);
}

/* Returns the number of calls of one kind. */
long faults_count(const char *operation) {
  for (int i = 0; i < 32 && seen[i].operation; i++)
    if (strcmp(seen[i].operation, operation) == 0) return seen[i].count;
  return 0;
}

/* Returns the first failed call, its path, its length, and the offsets of all failed calls, separated by tabs; an empty
 * string if no call failed. */
const char *faults_report(void) { return report; }

static int watches(const char *path) {
  return directory[0] && path && strncmp(path, directory, strlen(directory)) == 0;
}

static const char *path_of(int fd) { return fd >= 0 && fd < MOST_FILES && paths[fd][0] ? paths[fd] : NULL; }

static void note(int fd, const char *path) {
  if (fd < 0 || fd >= MOST_FILES) return;
  snprintf(paths[fd], PATH_BYTES, "%s", path);
  changed[fd] = 0;
}

/* Returns the path of a file, and notes that the file changes. */
static const char *changed_path(int fd) {
  const char *path = path_of(fd);
  if (path) changed[fd] = 1;
  return path;
}

static long count_one(const char *operation) {
  int i = 0;
  while (seen[i].operation && strcmp(seen[i].operation, operation) != 0) i++;
  seen[i].operation = operation;
  return ++seen[i].count;
}

/* Counts a call. Returns whether it fails or is cut short. *result is then its return value or the bytes to move. */
static int strikes(const char *operation, const char *call, const char *path, long offset, long length,
                   long *result) {
  if (!path) return 0;
  int hit = 0;
  pthread_mutex_lock(&mutex);
  long number = counts ? count_one(operation) : 0;
  if (strcmp(plan.operation, operation) == 0) {
    hit = number >= plan.first && number <= plan.last;
    if (hit && plan.cut != WHOLE) {
      long kept = plan.cut == ONE_BYTE ? 1 : plan.cut == HALF ? length / 2 : length - SECTOR;
      /* A lasting fault must let the caller finish: a direct call moves at least a block. */
      hit = kept > 0 && kept < length && (plan.last == plan.first || length > BLOCK);
      *result = kept;
    }
    if (hit && !report[0]) snprintf(report, sizeof report, "%s\t%s\t%ld", call, path, length);
    size_t used = strlen(report);
    if (hit) snprintf(report + used, sizeof report - used, "\t%ld", offset);
  }
  pthread_mutex_unlock(&mutex);
  return hit;
}

/* Returns whether the call fails, with errno set. */
static int fails(const char *operation, const char *call, const char *path) {
  long unused;
  if (!strikes(operation, call, path, -1, -1, &unused)) return 0;
  errno = plan.error;
  return 1;
}

static int open_file(const char *name, const char *path, int flags, mode_t mode) {
  REAL(int, "open64", const char *, int, ...);
  int watched = watches(path);
  if (watched && fails("open", name, path)) return -1;
  int fd = real(path, flags, mode);
  if (fd >= 0) note(fd, watched ? path : "");
  return fd;
}

#define OPEN(name) \
  int name(const char *path, int flags, ...) { \
    va_list more; \
    va_start(more, flags); \
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0; \
    va_end(more); \
    return open_file("open", path, flags, mode); \
  }
OPEN(open)
OPEN(open64)

int close(int fd) {
  REAL(int, "close", int);
  const char *path = path_of(fd);
  char name[PATH_BYTES] = "";
  if (path) {
    snprintf(name, sizeof name, "%s", path);
    paths[fd][0] = 0;
  }
  int failed = path && fails(changed[fd] ? "close" : "close unwritten", "close", name);
  int result = real(fd);
  if (!failed) return result;
  errno = plan.error;
  return -1;
}


static int is_direct(int fd) {
  REAL(int, "fcntl64", int, int, ...);
  return (real(fd, F_GETFL) & O_DIRECT) != 0;
}

/* The first `length` bytes of the parts. Returns how many parts these are. */
static int cut_parts(const struct iovec *parts, int count, long length, struct iovec *into) {
  int made = 0;
  for (; made < count && length > 0; made++) {
    into[made] = parts[made];
    if ((long)into[made].iov_len > length) into[made].iov_len = length;
    length -= into[made].iov_len;
  }
  return made;
}

static long bytes_of(const struct iovec *parts, int count) {
  long sum = 0;
  for (int i = 0; i < count; i++) sum += parts[i].iov_len;
  return sum;
}

typedef ssize_t move_call(int, const struct iovec *, int, off_t);

/* A short write. A direct one writes whole blocks and may return less than it wrote. */
static ssize_t write_parts(const char *name, move_call *real, int fd, const struct iovec *parts, int count, off_t offset) {
  long length = bytes_of(parts, count), kept = length;
  if (!strikes("write", name, changed_path(fd), offset, length, &kept)) return real(fd, parts, count, offset);
  if (plan.cut == WHOLE) {
    errno = plan.error;
    return -1;
  }
  struct iovec some[1024];
  long done = is_direct(fd) ? (kept + BLOCK - 1) / BLOCK * BLOCK : kept;
  ssize_t result = real(fd, some, cut_parts(parts, count, done, some), offset);
  return result < kept ? result : kept;
}

/* A short read. A direct one needs memory for whole blocks. */
static ssize_t read_parts(const char *name, move_call *real, int fd, const struct iovec *parts, int count, off_t offset) {
  long length = bytes_of(parts, count), kept = length;
  if (!strikes("read", name, path_of(fd), offset, length, &kept)) return real(fd, parts, count, offset);
  if (plan.cut == WHOLE) {
    errno = plan.error;
    return -1;
  }
  struct iovec some[1024];
  if (!is_direct(fd)) return real(fd, some, cut_parts(parts, count, kept, some), offset);
  ssize_t result = real(fd, parts, count, offset);
  return result < kept ? result : kept;
}

static ssize_t real_pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
  REAL(ssize_t, "pwritev64", int, const struct iovec *, int, off_t);
  return real(fd, parts, count, offset);
}
static ssize_t real_preadv(int fd, const struct iovec *parts, int count, off_t offset) {
  REAL(ssize_t, "preadv64", int, const struct iovec *, int, off_t);
  return real(fd, parts, count, offset);
}
static ssize_t real_writev(int fd, const struct iovec *parts, int count, off_t unused) {
  REAL(ssize_t, "writev", int, const struct iovec *, int);
  return real(fd, parts, count);
}
static ssize_t real_readv(int fd, const struct iovec *parts, int count, off_t unused) {
  REAL(ssize_t, "readv", int, const struct iovec *, int);
  return real(fd, parts, count);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset) {
  return write_parts("pwritev", real_pwritev, fd, parts, count, offset);
}
ssize_t preadv64(int fd, const struct iovec *parts, int count, off_t offset) {
  return read_parts("preadv", real_preadv, fd, parts, count, offset);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
  return write_parts("writev", real_writev, fd, parts, count, -1);
}
ssize_t readv(int fd, const struct iovec *parts, int count) {
  return read_parts("readv", real_readv, fd, parts, count, -1);
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t offset) {
  return write_parts("pwrite", real_pwritev, fd, &(struct iovec){(void *)bytes, length}, 1, offset);
}
ssize_t pread64(int fd, void *bytes, size_t length, off_t offset) {
  return read_parts("pread", real_preadv, fd, &(struct iovec){bytes, length}, 1, offset);
}
ssize_t write(int fd, const void *bytes, size_t length) {
  return write_parts("write", real_writev, fd, &(struct iovec){(void *)bytes, length}, 1, -1);
}
ssize_t read(int fd, void *bytes, size_t length) {
  return read_parts("read", real_readv, fd, &(struct iovec){bytes, length}, 1, -1);
}

/* Syncs have no effect that a test could see, and thousands of them are slow: none reaches the kernel. */
#define SYNC(name) \
  int name(int fd) { \
    REAL(int, #name, int); \
    const char *path = path_of(fd); \
    if (!path) return real(fd); \
    return fails("sync", #name, path) ? -1 : 0; \
  }
SYNC(fsync)
SYNC(fdatasync)

int ftruncate64(int fd, off_t length) {
  REAL(int, "ftruncate64", int, off_t);
  return fails("truncate", "ftruncate", changed_path(fd)) ? -1 : real(fd, length);
}

int fallocate64(int fd, int mode, off_t offset, off_t length) {
  REAL(int, "fallocate64", int, int, off_t, off_t);
  /* Mode 1 allocates and keeps the length: nothing is written. */
  return fails("allocate", "fallocate", mode == 1 ? path_of(fd) : changed_path(fd)) ? -1 : real(fd, mode, offset, length);
}

#define ATTRIBUTE(operation, result, name, parameters, arguments) \
  result name parameters { \
    REAL(result, #name, int, const char *, void *, size_t, int); \
    return fails(operation, #name, path_of(fd)) ? -1 : real arguments; \
  }
ATTRIBUTE("attribute", ssize_t, fgetxattr, (int fd, const char *key, void *value, size_t size), (fd, key, value, size, 0))
ATTRIBUTE("attribute", int, fsetxattr, (int fd, const char *key, const void *value, size_t size, int how), (fd, key, (void *)value, size, how))
ATTRIBUTE("attribute", int, fremovexattr, (int fd, const char *key), (fd, key, NULL, 0, 0))

ssize_t flistxattr(int fd, char *names, size_t size) {
  REAL(ssize_t, "flistxattr", int, char *, size_t);
  return fails("attribute list", "flistxattr", path_of(fd)) ? -1 : real(fd, names, size);
}

int posix_fadvise64(int fd, off_t offset, off_t length, int advice) {
  REAL(int, "posix_fadvise64", int, off_t, off_t, int);
  return fails("advise", "posix_fadvise", path_of(fd)) ? errno : real(fd, offset, length, advice);
}

off_t lseek64(int fd, off_t offset, int whence) {
  REAL(off_t, "lseek64", int, off_t, int);
  long unused;
  if (!strikes("seek", "lseek", path_of(fd), offset, -1, &unused)) return real(fd, offset, whence);
  errno = plan.error;
  return -1;
}

static int control(int fd, int command, void *argument) {
  REAL(int, "fcntl64", int, int, ...);
  int locks = command == F_OFD_GETLK || command == F_OFD_SETLK;
  return locks && fails("lock", "fcntl", path_of(fd)) ? -1 : real(fd, command, argument);
}
#define CONTROL(name) \
  int name(int fd, int command, ...) { \
    va_list more; \
    va_start(more, command); \
    void *argument = va_arg(more, void *); \
    va_end(more); \
    return control(fd, command, argument); \
  }
CONTROL(fcntl)
CONTROL(fcntl64)

int fchmod(int fd, mode_t mode) {
  REAL(int, "fchmod", int, mode_t);
  return fails("chmod", "fchmod", path_of(fd)) ? -1 : real(fd, mode);
}

int fchown(int fd, uid_t user, gid_t group) {
  REAL(int, "fchown", int, uid_t, gid_t);
  return fails("chown", "fchown", path_of(fd)) ? -1 : real(fd, user, group);
}

/* Calls on a name. */
#define NAMED(type, name, operation, failure, parameters, arguments, ...) \
  type name parameters { \
    REAL(type, #name, __VA_ARGS__); \
    return watches(path) && fails(operation, #name, path) ? failure : real arguments; \
  }
NAMED(int, rename, "rename", -1, (const char *path, const char *to), (path, to), const char *, const char *)
NAMED(int, unlink, "unlink", -1, (const char *path), (path), const char *)
NAMED(char *, realpath, "realpath", NULL, (const char *path, char *into), (path, into), const char *, char *)
NAMED(ssize_t, readlink, "readlink", -1, (const char *path, char *into, size_t length), (path, into, length), const char *, char *, size_t)

/* libuv makes some system calls itself: ones that the C library may lack, and a close that signals cannot interrupt. */
long syscall(long number, ...) {
  REAL(long, "syscall", long, ...);
  va_list more;
  va_start(more, number);
  long a = va_arg(more, long), b = va_arg(more, long), c = va_arg(more, long), d = va_arg(more, long),
       e = va_arg(more, long), f = va_arg(more, long);
  va_end(more);
  if (number == SYS_close) return close(a);
  if (number == SYS_statx) {
    const char *path = (const char *)b;
    int by_name = path && path[0];
    const char *file = by_name ? (watches(path) ? path : NULL) : path_of(a);
    if (fails("stat", by_name ? "stat" : "fstat", file)) return -1;
  }
  return real(number, a, b, c, d, e, f);
}
