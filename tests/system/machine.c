/* A machine that misbehaves when it is told to: files in the folder BRINE_MACHINE say how.
 *
 *   hold      flushes of files under BRINE_MACHINE_ROOT do not come back as long as it is there
 *   readonly  the file system under BRINE_MACHINE_ROOT is read-only, as the kernel makes one whose disk
 *             fails: files that are open for writing stay so, and writing to them fails
 *   clock     so many seconds are added to the wall clock
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static int order(const char *name, char *path) {
    const char *folder = getenv("BRINE_MACHINE");
    return folder && snprintf(path, PATH_MAX, "%s/%s", folder, name) < PATH_MAX;
}

static int is_told(const char *name) {
    char path[PATH_MAX];
    return order(name, path) && syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0;
}

static int is_under(const char *path) {
    const char *root = getenv("BRINE_MACHINE_ROOT");
    return root && strncmp(path, root, strlen(root)) == 0;
}

static int is_fd_under(int fd) {
    char link[64], path[PATH_MAX];
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long n = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    return is_under(path);
}

#define REFUSE(condition)                      \
    do {                                       \
        if (is_told("readonly") && (condition)) { \
            errno = EROFS;                     \
            return -1;                         \
        }                                      \
    } while (0)

ssize_t write(int fd, const void *bytes, size_t len) {
    REFUSE(is_fd_under(fd));
    return syscall(SYS_write, fd, bytes, len);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REFUSE(is_fd_under(fd));
    return syscall(SYS_writev, fd, parts, count);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at) {
    REFUSE(is_fd_under(fd));
    return syscall(SYS_pwrite64, fd, bytes, len, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at) { return pwrite64(fd, bytes, len, at); }

int ftruncate64(int fd, off64_t len) {
    REFUSE(is_fd_under(fd));
    return syscall(SYS_ftruncate, fd, len);
}

int ftruncate(int fd, off_t len) { return ftruncate64(fd, len); }

int rename(const char *from, const char *to) {
    REFUSE(is_under(to));
    return syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *name) {
    REFUSE(is_under(name));
    return syscall(SYS_unlinkat, AT_FDCWD, name, 0);
}

int mkdir(const char *name, mode_t mode) {
    REFUSE(is_under(name));
    return syscall(SYS_mkdirat, AT_FDCWD, name, mode);
}

static int do_open(int dir, const char *name, int flags, int mode) {
    REFUSE((flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) && is_under(name));
    return syscall(SYS_openat, dir, name, flags, mode);
}

#define MODE(flags)                                                \
    int mode = 0;                                                  \
    if ((flags) & O_CREAT || ((flags) & O_TMPFILE) == O_TMPFILE) { \
        va_list rest;                                              \
        va_start(rest, flags);                                     \
        mode = va_arg(rest, int);                                  \
        va_end(rest);                                              \
    }

int open(const char *name, int flags, ...) { MODE(flags) return do_open(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE(flags) return do_open(AT_FDCWD, name, flags, mode); }
int openat(int dir, const char *name, int flags, ...) { MODE(flags) return do_open(dir, name, flags, mode); }
int openat64(int dir, const char *name, int flags, ...) { MODE(flags) return do_open(dir, name, flags, mode); }

int statvfs(const char *path, struct statvfs *found) {
    int (*real)(const char *, struct statvfs *) = (int (*)(const char *, struct statvfs *))dlsym(RTLD_NEXT, "statvfs");
    int done = real(path, found);
    if (done == 0 && is_told("readonly") && is_under(path)) found->f_flag |= ST_RDONLY;
    return done;
}

static int flush(int fd, long call) {
    struct timespec pause = {0, 10000000};
    while (is_told("hold") && is_fd_under(fd)) syscall(SYS_nanosleep, &pause, NULL);
    return syscall(call, fd);
}

int fsync(int fd) { return flush(fd, SYS_fsync); }
int fdatasync(int fd) { return flush(fd, SYS_fdatasync); }

static long offset(void) {
    char path[PATH_MAX], text[32];
    if (!order("clock", path)) return 0;
    int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) return 0;
    long n = syscall(SYS_read, fd, text, sizeof text - 1);
    syscall(SYS_close, fd);
    text[n > 0 ? n : 0] = 0;
    return atol(text);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int kept = errno, done = syscall(SYS_clock_gettime, clock, now);
    if (done == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += offset();
    if (done == 0) errno = kept;
    return done;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
