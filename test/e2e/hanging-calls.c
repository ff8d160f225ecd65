/* Loaded in front of the C library (LD_PRELOAD): calls on one file do not return, as on a network file system whose
 * server is gone. strace cannot show that: a process that ends waits for the delay of its last thread.
 * HANG_CALLS names the calls between commas, HANG_FILE ends the file's path, HANG_FROM is the first call that hangs (1),
 * HANG_MARK is a file that is made when the first one does. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long seen;

static void hang(void) {
  sigset_t all;
  const char *mark = getenv("HANG_MARK");
  /* Signals go to other threads, as from a call that the system does not interrupt. */
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, NULL);
  if (mark) syscall(SYS_close, syscall(SYS_openat, AT_FDCWD, mark, O_CREAT | O_WRONLY, 0600));
  for (;;) pause();
}

static void meet(const char *call, const char *path) {
  const char *calls = getenv("HANG_CALLS"), *file = getenv("HANG_FILE"), *from = getenv("HANG_FROM");
  char wanted[32];
  size_t length = path ? strlen(path) : 0;
  if (!calls || !file || length < strlen(file) || strcmp(path + length - strlen(file), file) != 0) return;
  snprintf(wanted, sizeof wanted, ",%s,", call);
  if (strstr(calls, wanted) && ++seen >= (from ? atol(from) : 1)) hang();
}

static void meet_open(const char *call, int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = syscall(SYS_readlink, link, path, sizeof path - 1);
  if (length < 0) return;
  path[length] = 0;
  meet(call, path);
}

#define REAL(type, name, ...) type (*real)(__VA_ARGS__) = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

#define ON_DESCRIPTOR(type, name, call, parameters, ...) \
  type name parameters { \
    type(*real) parameters = (type(*) parameters)dlsym(RTLD_NEXT, #name); \
    meet_open(call, fd); \
    return real(__VA_ARGS__); \
  }

ON_DESCRIPTOR(ssize_t, read, "read", (int fd, void *to, size_t n), fd, to, n)
ON_DESCRIPTOR(ssize_t, pread64, "read", (int fd, void *to, size_t n, off64_t at), fd, to, n, at)
ON_DESCRIPTOR(ssize_t, preadv64, "read", (int fd, const struct iovec *v, int n, off64_t at), fd, v, n, at)
ON_DESCRIPTOR(ssize_t, pwrite64, "write", (int fd, const void *from, size_t n, off64_t at), fd, from, n, at)
ON_DESCRIPTOR(ssize_t, pwritev64, "write", (int fd, const struct iovec *v, int n, off64_t at), fd, v, n, at)
ON_DESCRIPTOR(int, fdatasync, "sync", (int fd), fd)
ON_DESCRIPTOR(int, fsync, "sync", (int fd), fd)
ON_DESCRIPTOR(int, ftruncate64, "truncate", (int fd, off64_t length), fd, length)
ON_DESCRIPTOR(int, fchown, "chown", (int fd, uid_t uid, gid_t gid), fd, uid, gid)
ON_DESCRIPTOR(int, close, "close", (int fd), fd)

int open64(const char *path, int flags, ...) {
  REAL(int, "open64", const char *, int, ...);
  va_list more;
  va_start(more, flags);
  mode_t mode = va_arg(more, mode_t);
  va_end(more);
  meet("open", path);
  return real(path, flags, mode);
}
int open(const char *path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  mode_t mode = va_arg(more, mode_t);
  va_end(more);
  return open64(path, flags, mode);
}
int fcntl64(int fd, int command, ...) {
  REAL(int, "fcntl64", int, int, ...);
  va_list more;
  va_start(more, command);
  void *argument = va_arg(more, void *);
  va_end(more);
  meet_open("lock", fd);
  return real(fd, command, argument);
}
int fcntl(int fd, int command, ...) {
  va_list more;
  va_start(more, command);
  void *argument = va_arg(more, void *);
  va_end(more);
  return fcntl64(fd, command, argument);
}
/* How Node.js looks at names. */
long syscall(long number, ...) {
  REAL(long, "syscall", long, ...);
  long a[6];
  va_list more;
  va_start(more, number);
  for (int i = 0; i < 6; i++) a[i] = va_arg(more, long);
  va_end(more);
  if (number == SYS_statx) meet("look", (const char *)a[1]);
  return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
int rename(const char *from, const char *to) {
  REAL(int, "rename", const char *, const char *);
  meet("rename", to);
  return real(from, to);
}
int unlink(const char *path) {
  REAL(int, "unlink", const char *);
  meet("unlink", path);
  return real(path);
}
