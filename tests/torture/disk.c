/* A disk that fails when it is told to: preloaded, it counts every call that changes files below a folder, over all threads.

   disk_begin(under, n, code, on, trace): from now on the n-th such call fails with the errno `code`, and with `on` every later one
   that needs room; nothing fails for n = 0. Each call that succeeds is a line of the file `trace`, unless that is empty: the call,
   the inode, the path, and for a call with two names the second path. disk_end() returns how many calls there were. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static char folder[4096];
static long fails_at, counted;
static int failure, goes_on, log_file = -1, active;

void disk_begin(const char *under, long n, int code, int on, const char *trace)
{
    snprintf(folder, sizeof folder, "%s/", under);
    fails_at = n, counted = 0, failure = code, goes_on = on;
    log_file = *trace ? (int)syscall(SYS_openat, AT_FDCWD, trace, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    active = 1;
}

long disk_end(void)
{
    active = 0;
    if (log_file >= 0)
        syscall(SYS_close, log_file);
    return counted;
}

static int below(const char *path) { return active && strncmp(path, folder, strlen(folder)) == 0; }

static int fd_path(int fd, char *path, size_t size)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = active ? readlink(link, path, size - 1) : -1;
    path[length < 0 ? 0 : length] = 0;
    return below(path);
}

/* Whether this call is to fail; `room` is whether it needs some. */
static int fails(int room)
{
    long number = __atomic_add_fetch(&counted, 1, __ATOMIC_SEQ_CST);
    if (fails_at && (number == fails_at || (goes_on && room && number > fails_at))) {
        errno = failure;
        return 1;
    }
    return 0;
}

static void note(const char *call, const char *path, const char *second)
{
    struct stat found;
    char line[9000];
    int kept = errno;
    if (log_file >= 0) {
        unsigned long inode = stat(*second ? second : path, &found) ? 0 : found.st_ino;
        int length = snprintf(line, sizeof line, "%s\t%lu\t%s\t%s\n", call, inode, path, second);
        syscall(SYS_write, log_file, line, length);
    }
    errno = kept;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define ON_FILE(type, name, word, room, takes, gives)                 \
    type name takes                                                   \
    {                                                                 \
        char path[4096];                                              \
        if (!fd_path(fd, path, sizeof path))                          \
            return REAL(name) gives;                                  \
        if (fails(room))                                              \
            return -1;                                                \
        type result = REAL(name) gives;                               \
        if (result >= 0)                                              \
            note(word, path, "");                                     \
        return result;                                                \
    }

ON_FILE(ssize_t, write, "write", 1, (int fd, const void *bytes, size_t size), (fd, bytes, size))
ON_FILE(ssize_t, pwrite, "write", 1, (int fd, const void *bytes, size_t size, off_t at), (fd, bytes, size, at))
ON_FILE(ssize_t, pwrite64, "write", 1, (int fd, const void *bytes, size_t size, off64_t at), (fd, bytes, size, at))
ON_FILE(int, ftruncate, "write", 0, (int fd, off_t size), (fd, size))
ON_FILE(int, ftruncate64, "write", 0, (int fd, off64_t size), (fd, size))
ON_FILE(int, fsync, "sync", 0, (int fd), (fd))
ON_FILE(int, syncfs, "sync", 0, (int fd), (fd))
ON_FILE(int, fdatasync, "sync", 0, (int fd), (fd))

static int reserves(int fd, int (*real)(int, off_t, off_t), off_t at, off_t size)
{
    char path[4096];
    return fd_path(fd, path, sizeof path) && fails(1) ? failure : real(fd, at, size);
}

int posix_fallocate(int fd, off_t at, off_t size) { return reserves(fd, REAL(posix_fallocate), at, size); }
int posix_fallocate64(int fd, off64_t at, off64_t size) { return reserves(fd, REAL(posix_fallocate64), at, size); }

#define NAMES(name, takes, gives, from, to, word)                     \
    int name takes                                                    \
    {                                                                 \
        if (!below(to))                                               \
            return REAL(name) gives;                                  \
        if (fails(1))                                                 \
            return -1;                                                \
        int result = REAL(name) gives;                                \
        if (result == 0)                                              \
            note(word, from, to);                                     \
        return result;                                                \
    }

NAMES(rename, (const char *a, const char *b), (a, b), a, b, "name")
NAMES(renameat, (int x, const char *a, int y, const char *b), (x, a, y, b), a, b, "name")
NAMES(renameat2, (int x, const char *a, int y, const char *b, unsigned how), (x, a, y, b, how), a, b, "name")
NAMES(link, (const char *a, const char *b), (a, b), a, b, "name")
NAMES(linkat, (int x, const char *a, int y, const char *b, int how), (x, a, y, b, how), a, b, "name")
NAMES(mkdir, (const char *a, mode_t mode), (a, mode), a, a, "name")

#define OPENS(name, takes, path, gives, last)                         \
    int name takes                                                    \
    {                                                                 \
        mode_t mode = 0;                                              \
        if (flags & O_CREAT) {                                        \
            va_list rest;                                             \
            va_start(rest, last);                                     \
            mode = va_arg(rest, mode_t);                              \
            va_end(rest);                                             \
        }                                                             \
        int makes = flags & O_CREAT && below(path) && access(path, F_OK); \
        if (makes && fails(1))                                        \
            return -1;                                                \
        int result = REAL(name) gives;                                \
        if (makes && result >= 0)                                     \
            note("name", path, path);                                 \
        return result;                                                \
    }

OPENS(open, (const char *path, int flags, ...), path, (path, flags, mode), flags)
OPENS(open64, (const char *path, int flags, ...), path, (path, flags, mode), flags)
OPENS(openat, (int at, const char *path, int flags, ...), path, (at, path, flags, mode), flags)
OPENS(openat64, (int at, const char *path, int flags, ...), path, (at, path, flags, mode), flags)
