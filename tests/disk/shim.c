/* A disk that fails when it is told to, and that remembers what a power cut would take back.
 *
 * Preloaded into a program, it stands before the calls that change files under BRINE_DISK_ROOT.
 * In the folder BRINE_DISK_STATE it keeps
 *   events   what was done, with the bytes before and after, and what was made durable
 *   grave/   what was removed or replaced, by inode number, so that it can come back
 *   fired    the rules of `control` that have come true
 * and reads `control`, which the test replaces: lines of `id call pattern skip times errno short`.
 * Rules are counted by id, per process. BRINE_DISK_SLOW_US makes each flush take so long.
 *
 * A write is recorded before it is done, since what is there is lost with it; a flush and a change
 * of names after it: a kill in between must not call durable what is not. disk.rs reads struct event.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct event {
    uint64_t kind;   /* a letter */
    uint64_t ino;    /* the file; of a flush the file or folder */
    uint64_t parent; /* the folder whose names change */
    uint64_t other;  /* what a rename replaced */
    uint64_t at;     /* offset; new length; of a flush the length of `events` when it began */
    uint64_t size;   /* length of the file before */
    uint64_t old_len, new_len, from_len, to_len;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX], state[PATH_MAX];
static size_t root_len;
static long slow_us;
static int events = -1;

__attribute__((constructor)) static void begin(void) {
    const char *r = getenv("BRINE_DISK_ROOT"), *s = getenv("BRINE_DISK_STATE");
    const char *slow = getenv("BRINE_DISK_SLOW_US");
    if (!r || !s || strlen(r) >= PATH_MAX || strlen(s) >= PATH_MAX - 64) return;
    char path[PATH_MAX + 64];
    strcpy(root, r);
    strcpy(state, s);
    slow_us = slow ? atol(slow) : 0;
    snprintf(path, sizeof path, "%s/events", state);
    int fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    /* Out of the way of those who close or count low numbers. */
    events = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 500);
    if (fd >= 0) syscall(SYS_close, fd);
    root_len = events < 0 ? 0 : strlen(root);
}

static int is_ours(const char *path) {
    return root_len && strncmp(path, root, root_len) == 0 && (path[root_len] == '/' || path[root_len] == 0);
}

/* The path of an open file, if it is a file or folder of ours. */
static int of_fd(int fd, char *path, struct stat *st) {
    char link[64];
    if (!root_len || fstat(fd, st) != 0 || !(S_ISREG(st->st_mode) || S_ISDIR(st->st_mode))) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    return is_ours(path);
}

/* The same for a name, which need not exist. */
static int of_name(int dir, const char *name, char *path) {
    if (!root_len || !name) return 0;
    if (name[0] == '/') {
        if (strlen(name) >= PATH_MAX) return 0;
        strcpy(path, name);
        return is_ours(path);
    }
    struct stat st;
    if (dir == AT_FDCWD) {
        if (!getcwd(path, PATH_MAX)) return 0;
    } else if (!of_fd(dir, path, &st)) {
        return 0;
    }
    if (strlen(path) + strlen(name) + 2 > PATH_MAX) return 0;
    strcat(path, "/");
    strcat(path, name);
    return is_ours(path);
}

static uint64_t parent_of(const char *path) {
    char folder[PATH_MAX];
    struct stat st;
    strcpy(folder, path);
    char *slash = strrchr(folder, '/');
    if (slash) *slash = 0;
    return stat(folder, &st) == 0 ? st.st_ino : 0;
}

static void put(struct event e, const void *old, const void *new, const char *from, const char *to) {
    e.from_len = from ? strlen(from) : 0;
    e.to_len = to ? strlen(to) : 0;
    struct iovec parts[] = {
        {&e, sizeof e},           {(void *)old, e.old_len}, {(void *)new, e.new_len},
        {(void *)from, e.from_len}, {(void *)to, e.to_len},
    };
    size_t all = sizeof e + e.old_len + e.new_len + e.from_len + e.to_len;
    /* An incomplete record would make every judgement after it wrong. */
    if (syscall(SYS_writev, events, parts, 5) != (long)all) abort();
}

static uint64_t written(void) {
    struct stat st;
    return fstat(events, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void bury(const char *path, uint64_t ino) {
    char grave[PATH_MAX + 64];
    snprintf(grave, sizeof grave, "%s/grave/%llu", state, (unsigned long long)ino);
    syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, grave, 0);
}

/* What is in a file from `at` on, `len` bytes at most. */
static char *content(const char *path, uint64_t at, uint64_t len, uint64_t size, uint64_t *got) {
    *got = 0;
    if (at >= size) return NULL;
    if (len > size - at) len = size - at;
    char *bytes = malloc(len + 1);
    int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    while (fd >= 0 && *got < len) {
        long n = syscall(SYS_pread64, fd, bytes + *got, len - *got, at + *got);
        if (n <= 0) break;
        *got += n;
    }
    if (fd >= 0) syscall(SYS_close, fd);
    return bytes;
}

/* Whether a rule says that this call fails: its errno, or -1 and a count for a short write. */
static int judge(const char *call, const char *path, size_t *shorter) {
    enum { RULES = 16, TEXT = 4096 };
    static struct { char id[32]; long seen; } counts[64];
    char name[PATH_MAX + 64], text[TEXT];
    snprintf(name, sizeof name, "%s/control", state);
    int fd = syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) return 0;
    long n = syscall(SYS_read, fd, text, TEXT - 1);
    syscall(SYS_close, fd);
    if (n <= 0) return 0;
    text[n] = 0;
    char *rest = text, *line;
    while ((line = strsep(&rest, "\n"))) {
        char id[32], wanted[16], pattern[512];
        long skip, times, error, count;
        if (sscanf(line, "%31s %15s %511s %ld %ld %ld %ld", id, wanted, pattern, &skip, &times, &error, &count) != 7)
            continue;
        if (strcmp(wanted, call) != 0 || fnmatch(pattern, path, 0) != 0) continue;
        int k = 0;
        while (k < 63 && counts[k].id[0] && strcmp(counts[k].id, id) != 0) k++;
        strcpy(counts[k].id, id);
        long seen = counts[k].seen++;
        if (seen < skip || (times >= 0 && seen >= skip + times)) continue;
        snprintf(name, sizeof name, "%s/fired", state);
        int fired = syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        char said[PATH_MAX + 64];
        int len = snprintf(said, sizeof said, "%s %s\n", id, path);
        if (fired >= 0) {
            syscall(SYS_write, fired, said, len);
            syscall(SYS_close, fired);
        }
        if (error) return (int)error;
        if (shorter && count > 0 && (size_t)count < *shorter) *shorter = count;
        return -1;
    }
    return 0;
}

static ssize_t do_write(int fd, const void *bytes, size_t len, off_t at, int is_at, int *is_done) {
    char path[PATH_MAX];
    struct stat st;
    *is_done = 0;
    if (len == 0 || !of_fd(fd, path, &st) || !S_ISREG(st.st_mode)) return 0;
    *is_done = 1;
    pthread_mutex_lock(&mutex);
    fstat(fd, &st);
    int error = judge("write", path, &len);
    if (error > 0) {
        pthread_mutex_unlock(&mutex);
        errno = error;
        return -1;
    }
    int flags = fcntl(fd, F_GETFL);
    uint64_t where = flags & O_APPEND ? (uint64_t)st.st_size
                     : is_at          ? (uint64_t)at
                                      : (uint64_t)syscall(SYS_lseek, fd, 0, SEEK_CUR);
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    struct event e = {.kind = 'W', .ino = st.st_ino, .at = where, .size = st.st_size, .new_len = len};
    char *old = content(link, where, len, st.st_size, &e.old_len);
    put(e, old, bytes, path, NULL);
    free(old);
    ssize_t n = is_at ? syscall(SYS_pwrite64, fd, bytes, len, at) : syscall(SYS_write, fd, bytes, len);
    int kept = errno;
    pthread_mutex_unlock(&mutex);
    errno = kept;
    return n;
}

ssize_t write(int fd, const void *bytes, size_t len) {
    int is_done;
    ssize_t n = do_write(fd, bytes, len, 0, 0, &is_done);
    return is_done ? n : syscall(SYS_write, fd, bytes, len);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at) {
    int is_done;
    ssize_t n = do_write(fd, bytes, len, at, 1, &is_done);
    return is_done ? n : syscall(SYS_pwrite64, fd, bytes, len, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at) { return pwrite64(fd, bytes, len, at); }

/* Of several parts the first is written: a short write, which everybody has to expect. */
ssize_t writev(int fd, const struct iovec *parts, int count) {
    int is_done;
    for (int i = 0; i < count; i++) {
        if (parts[i].iov_len == 0) continue;
        ssize_t n = do_write(fd, parts[i].iov_base, parts[i].iov_len, 0, 0, &is_done);
        if (is_done) return n;
        break;
    }
    return syscall(SYS_writev, fd, parts, count);
}

static int do_sync(int fd, long call) {
    char path[PATH_MAX];
    struct stat st;
    if (!of_fd(fd, path, &st)) return syscall(call, fd);
    pthread_mutex_lock(&mutex);
    struct event e = {.kind = 'S', .ino = st.st_ino, .at = written()};
    int error = judge("sync", path, NULL);
    if (error > 0) {
        e.kind = 'F';
        put(e, NULL, NULL, path, NULL);
        pthread_mutex_unlock(&mutex);
        errno = error;
        return -1;
    }
    pthread_mutex_unlock(&mutex);
    /* The real disk is not asked: what is in the page cache outlives the process. */
    struct timespec pause = {slow_us / 1000000, slow_us % 1000000 * 1000};
    if (slow_us) nanosleep(&pause, NULL);
    pthread_mutex_lock(&mutex);
    put(e, NULL, NULL, path, NULL);
    pthread_mutex_unlock(&mutex);
    return 0;
}

int fsync(int fd) { return do_sync(fd, SYS_fsync); }
int fdatasync(int fd) { return do_sync(fd, SYS_fdatasync); }

int ftruncate64(int fd, off64_t len) {
    char path[PATH_MAX], link[64];
    struct stat st;
    if (!of_fd(fd, path, &st)) return syscall(SYS_ftruncate, fd, len);
    pthread_mutex_lock(&mutex);
    int error = judge("truncate", path, NULL);
    if (error > 0) {
        pthread_mutex_unlock(&mutex);
        errno = error;
        return -1;
    }
    fstat(fd, &st);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    struct event e = {.kind = 'T', .ino = st.st_ino, .at = len, .size = st.st_size};
    char *old = content(link, len, UINT64_MAX, st.st_size, &e.old_len);
    put(e, old, NULL, path, NULL);
    free(old);
    int done = syscall(SYS_ftruncate, fd, len), kept = errno;
    pthread_mutex_unlock(&mutex);
    errno = kept;
    return done;
}

int ftruncate(int fd, off_t len) { return ftruncate64(fd, len); }

int posix_fadvise64(int fd, off64_t at, off64_t len, int advice) {
    char path[PATH_MAX];
    struct stat st;
    if (advice == POSIX_FADV_DONTNEED && of_fd(fd, path, &st)) {
        pthread_mutex_lock(&mutex);
        struct event e = {.kind = 'N', .ino = st.st_ino, .at = written()};
        put(e, NULL, NULL, path, NULL);
        pthread_mutex_unlock(&mutex);
    }
    return syscall(SYS_fadvise64, fd, at, len, advice) == 0 ? 0 : errno;
}

int posix_fadvise(int fd, off_t at, off_t len, int advice) { return posix_fadvise64(fd, at, len, advice); }

static int do_open(int dir, const char *name, int flags, int mode) {
    char path[PATH_MAX];
    if (!(flags & (O_CREAT | O_TRUNC)) || (flags & O_TMPFILE) == O_TMPFILE || !of_name(dir, name, path))
        return syscall(SYS_openat, dir, name, flags, mode);
    pthread_mutex_lock(&mutex);
    struct stat st;
    int is_there = lstat(path, &st) == 0, fd = -1, kept = 0;
    if (!is_there && flags & O_CREAT) kept = judge("create", path, NULL);
    if (kept <= 0) {
        if (is_there && flags & O_TRUNC && S_ISREG(st.st_mode) && st.st_size > 0) {
            struct event e = {.kind = 'T', .ino = st.st_ino, .at = 0, .size = st.st_size};
            char *old = content(path, 0, UINT64_MAX, st.st_size, &e.old_len);
            put(e, old, NULL, path, NULL);
            free(old);
        }
        fd = syscall(SYS_openat, dir, name, flags, mode);
        kept = errno;
        if (fd >= 0 && !is_there && fstat(fd, &st) == 0) {
            struct event e = {.kind = 'C', .ino = st.st_ino, .parent = parent_of(path)};
            put(e, NULL, NULL, path, NULL);
        }
    }
    pthread_mutex_unlock(&mutex);
    errno = kept;
    return fd;
}

#define MODE(flags)                                              \
    int mode = 0;                                                \
    if ((flags) & O_CREAT || ((flags) & O_TMPFILE) == O_TMPFILE) { \
        va_list rest;                                            \
        va_start(rest, flags);                                   \
        mode = va_arg(rest, int);                                \
        va_end(rest);                                            \
    }

int open(const char *name, int flags, ...) { MODE(flags) return do_open(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE(flags) return do_open(AT_FDCWD, name, flags, mode); }
int openat(int dir, const char *name, int flags, ...) { MODE(flags) return do_open(dir, name, flags, mode); }
int openat64(int dir, const char *name, int flags, ...) { MODE(flags) return do_open(dir, name, flags, mode); }

int renameat(int from_dir, const char *from, int to_dir, const char *to) {
    char a[PATH_MAX], b[PATH_MAX];
    if (!of_name(from_dir, from, a) || !of_name(to_dir, to, b))
        return syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
    pthread_mutex_lock(&mutex);
    int kept = judge("rename", b, NULL), done = -1;
    struct stat st, replaced;
    struct event e = {.kind = 'R', .parent = parent_of(b)};
    if (kept <= 0) {
        if (lstat(a, &st) == 0) {
            e.ino = st.st_ino;
            if (lstat(b, &replaced) == 0 && S_ISREG(replaced.st_mode)) {
                e.other = replaced.st_ino;
                bury(b, e.other);
            }
        }
        done = syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
        kept = errno;
        if (done == 0) put(e, NULL, NULL, a, b);
    }
    pthread_mutex_unlock(&mutex);
    errno = kept;
    return done;
}

int rename(const char *from, const char *to) { return renameat(AT_FDCWD, from, AT_FDCWD, to); }

int unlinkat(int dir, const char *name, int flags) {
    char path[PATH_MAX];
    if (!of_name(dir, name, path)) return syscall(SYS_unlinkat, dir, name, flags);
    pthread_mutex_lock(&mutex);
    int kept = judge("unlink", path, NULL), done = -1;
    struct stat st;
    if (kept <= 0) {
        int is_there = lstat(path, &st) == 0 && (S_ISREG(st.st_mode) || flags & AT_REMOVEDIR);
        struct event e = {.kind = flags & AT_REMOVEDIR ? 'X' : 'U', .ino = st.st_ino, .parent = parent_of(path)};
        if (is_there && e.kind == 'U') bury(path, e.ino);
        done = syscall(SYS_unlinkat, dir, name, flags);
        kept = errno;
        if (is_there && done == 0) put(e, NULL, NULL, path, NULL);
    }
    pthread_mutex_unlock(&mutex);
    errno = kept;
    return done;
}

int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }

int mkdirat(int dir, const char *name, mode_t mode) {
    char path[PATH_MAX];
    if (!of_name(dir, name, path)) return syscall(SYS_mkdirat, dir, name, mode);
    pthread_mutex_lock(&mutex);
    int kept = judge("create", path, NULL), done = -1;
    struct stat st;
    if (kept <= 0) {
        done = syscall(SYS_mkdirat, dir, name, mode);
        kept = errno;
        if (done == 0 && lstat(path, &st) == 0) {
            struct event e = {.kind = 'M', .ino = st.st_ino, .parent = parent_of(path)};
            put(e, NULL, NULL, path, NULL);
        }
    }
    pthread_mutex_unlock(&mutex);
    errno = kept;
    return done;
}

int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }
