/* Makes the disk and the clock of one process fail when told to, as the files named by the environment
 * are there: FAULTY_SYNC has every fdatasync and fsync fail with EIO, FAULTY_FULL has every write to a
 * file below the directory FAULTY_BELOW fail with ENOSPC, FAULTY_CLOCK sets the wall clock by as many
 * seconds as the file says, or a day back. Preloaded by tests/redis/disk.rs and tests/redis/nemesis. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int is_told(const char *name)
{
    const char *path = getenv(name);
    return path && access(path, F_OK) == 0;
}

static int refuse(void)
{
    errno = EIO;
    return -1;
}

int fdatasync(int file)
{
    return is_told("FAULTY_SYNC") ? refuse() : (int)syscall(SYS_fdatasync, file);
}

int fsync(int file)
{
    return is_told("FAULTY_SYNC") ? refuse() : (int)syscall(SYS_fsync, file);
}

static int is_below(int file, const char *directory)
{
    char link[64], path[PATH_MAX];
    struct stat status;
    if (!directory || fstat(file, &status) != 0 || !S_ISREG(status.st_mode))
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    size_t wanted = strlen(directory);
    return length > (ssize_t)wanted && strncmp(path, directory, wanted) == 0 && path[wanted] == '/';
}

static int is_full(int file)
{
    int full = is_told("FAULTY_FULL") && is_below(file, getenv("FAULTY_BELOW"));
    if (full)
        errno = ENOSPC;
    return full;
}

ssize_t write(int file, const void *bytes, size_t count)
{
    return is_full(file) ? -1 : syscall(SYS_write, file, bytes, count);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off_t at)
{
    return is_full(file) ? -1 : syscall(SYS_pwrite64, file, bytes, count, at);
}

static long seconds_told(const char *name)
{
    char text[32] = "";
    int file = (int)syscall(SYS_openat, AT_FDCWD, getenv(name), O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        syscall(SYS_read, file, text, sizeof text - 1);
        syscall(SYS_close, file);
    }
    return text[0] ? strtol(text, NULL, 10) : -24 * 3600;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && clock == CLOCK_REALTIME && is_told("FAULTY_CLOCK"))
        now->tv_sec += seconds_told("FAULTY_CLOCK");
    return result;
}
