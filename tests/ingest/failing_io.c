/* Makes the Nth write, truncation or sync of a spool fail; preloaded by tests/ingest/failing_io.py.
 * Only descriptors of files whose name holds "partition-" count. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static long countdown, lasting, seen;
static int code;

/* Fail call number `nth` (0: none) with `error`, and all after it where `stays` is not 0. */
void fail_call(long nth, int error, int stays) {
    countdown = nth;
    code = error;
    lasting = stays;
    seen = 0;
}

long calls_seen(void) { return seen; }

static int is_due(int fd) {
    char link[64], path[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    if (!strstr(path, "partition-") || strstr(path, ".lock")) return 0;
    seen++;
    if (!countdown) return 0;
    if (countdown > 1) { countdown--; return 0; }
    if (!lasting) countdown = 0;
    errno = code;
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *data, size_t size) {
    return is_due(fd) ? -1 : REAL(write)(fd, data, size);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    return is_due(fd) ? -1 : REAL(pwrite)(fd, data, size, at);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    return is_due(fd) ? -1 : REAL(pwrite64)(fd, data, size, at);
}
int ftruncate(int fd, off_t size) { return is_due(fd) ? -1 : REAL(ftruncate)(fd, size); }
int ftruncate64(int fd, off64_t size) { return is_due(fd) ? -1 : REAL(ftruncate64)(fd, size); }
int fsync(int fd) { return is_due(fd) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return is_due(fd) ? -1 : REAL(fdatasync)(fd); }
