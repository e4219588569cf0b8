/* Makes the disk and the clock of one process fail when told to, as the files named by the environment
 * are there: FAULTY_SYNC has every fdatasync and fsync fail with EIO, FAULTY_CLOCK sets the wall clock a
 * day back. Preloaded by tests/redis/disk.rs. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
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

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && clock == CLOCK_REALTIME && is_told("FAULTY_CLOCK"))
        now->tv_sec -= 24 * 3600;
    return result;
}
