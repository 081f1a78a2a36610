#include "io_uv_internal.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

/* From this many files of one file system on, the whole of it is synced. Measured on ext4 with 1 KiB unsynced
 * in each: fdatasync 0.2 ms a file; syncfs 0.2 ms and 0.35 ms for 8, but 1.5 ms and more where others keep
 * the disk busy. */
enum { SYNCFS_FROM = 8 };
enum { IOV_AT_ONCE = 64, WARM_STEP = 16 * 1024, PAGES_AT_ONCE = 1024, FTW_FDS = 16 };

struct file {
    struct heap *heap;
    int fd;
    dev_t dev;
    atomic_int refs;
    atomic_bool sync_failed; /* for good: the kernel may have thrown away what it couldn't write */
};

enum err err_of_errno(int error)
{
    switch (error) {
    case 0:
        return E_OK;
    case ENOENT:
    case ENOTDIR:
        return E_NOENT;
    case EEXIST:
    case ENOTEMPTY:
        return E_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return E_ACCESS;
    case ENOSPC:
    case EDQUOT:
        return E_FULL;
    default:
        return E_IO;
    }
}

/* A NET loop never waits for a disk. */
static void may_wait(void)
{
    ASSERT(!loop_current() || loop_current()->kind == LOOP_DISK);
}

static enum err of_result(int result)
{
    return result == 0 ? E_OK : err_of_errno(errno);
}

int file_fd(const struct file *f)
{
    return f->fd;
}

enum err file_open(struct io *io, const char *path, int how, struct file **out)
{
    int flags = (how & FILE_WRITE ? O_RDWR : O_RDONLY) | (how & (FILE_CREATE | FILE_NEW) ? O_CREAT : 0) |
                (how & FILE_NEW ? O_EXCL : 0);
    struct stat st;

    may_wait();
    int fd = open(path, flags | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_of_errno(errno);
    if (fstat(fd, &st) != 0) {
        enum err err = err_of_errno(errno);
        close(fd);
        return err;
    }
    struct file *f = heap_alloc(io->heap, sizeof(*f));
    f->heap = io->heap;
    f->fd = fd;
    f->dev = st.st_dev;
    atomic_init(&f->refs, 1);
    *out = f;
    return E_OK;
}

struct file *file_ref(struct file *f)
{
    ASSERT(atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed) > 0);
    return f;
}

void file_unref(struct file *f)
{
    int before = atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel);

    ASSERT(before > 0);
    if (before > 1)
        return;
    close(f->fd);
    heap_free(f->heap, f);
}

int64_t file_size(const struct file *f)
{
    struct stat st;

    ASSERT(fstat(f->fd, &st) == 0);
    return st.st_size;
}

enum err file_read(struct file *f, int64_t at, void *to, size_t len, size_t *got)
{
    may_wait();
    *got = 0;
    while (*got < len) {
        ssize_t n = pread(f->fd, (uint8_t *)to + *got, len - *got, at + (int64_t)*got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_of_errno(errno);
        if (n == 0)
            return E_OK;
        *got += (size_t)n;
    }
    return E_OK;
}

enum err file_peek(struct file *f, int64_t at, void *to, size_t len, size_t *got)
{
    struct iovec iov = {.iov_base = to, .iov_len = len};
    ssize_t n;

    *got = 0;
    do {
        n = preadv2(f->fd, &iov, 1, at, RWF_NOWAIT);
        if (n < 0 && errno == EOPNOTSUPP) /* some file systems in memory can't say, nor do they need to */
            n = preadv2(f->fd, &iov, 1, at, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? E_COLD : err_of_errno(errno);
    *got = (size_t)n;
    return (size_t)n < len && at + n < file_size(f) ? E_COLD : E_OK;
}

/* The next pieces of v from *skip bytes into it on. */
static int gather(const struct slice *v, int n, size_t skip, struct iovec *iov)
{
    int k = 0;

    for (int i = 0; i < n && k < IOV_AT_ONCE; i++) {
        if (skip >= v[i].len) {
            skip -= v[i].len;
            continue;
        }
        iov[k++] = (struct iovec){.iov_base = v[i].p + skip, .iov_len = v[i].len - skip};
        skip = 0;
    }
    return k;
}

enum err file_write(struct file *f, int64_t at, const struct slice *v, int n)
{
    struct iovec iov[IOV_AT_ONCE];
    size_t written = 0; /* of v[0] .. v[n - 1] as they stand */
    int k;

    may_wait();
    while ((k = gather(v, n, written, iov)) > 0) {
        ssize_t w = pwritev(f->fd, iov, k, at);
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return w < 0 ? err_of_errno(errno) : E_IO;
        at += w;
        for (written += (size_t)w; n > 0 && written >= v->len; v++, n--)
            written -= v->len;
    }
    return E_OK;
}

enum err file_resize(struct file *f, int64_t size)
{
    may_wait();
    return of_result(ftruncate(f->fd, size));
}

/* Every page is in memory. A mapping that nobody reads through is the way to ask for a megabyte at once. */
static bool is_warm(struct file *f, int64_t at, size_t len)
{
    const int64_t page = sysconf(_SC_PAGESIZE), end = at + (int64_t)len;
    uint8_t in[PAGES_AT_ONCE];
    bool warm = true;

    for (int64_t from = at & ~(page - 1); warm && from < end; from += PAGES_AT_ONCE * page) {
        size_t bytes = (size_t)(end - from < PAGES_AT_ONCE * page ? end - from : PAGES_AT_ONCE * page);
        void *p = mmap(NULL, bytes, PROT_READ, MAP_SHARED, f->fd, from);
        if (p == MAP_FAILED)
            return false;
        warm = mincore(p, bytes, in) == 0;
        for (size_t i = 0; warm && i < (bytes + (size_t)page - 1) / (size_t)page; i++)
            warm = in[i] & 1;
        ASSERT(munmap(p, bytes) == 0);
    }
    return warm;
}

/* Read-ahead alone doesn't wait for the pages; reading them does. */
enum err file_warm(struct file *f, int64_t at, size_t len)
{
    uint8_t scratch[WARM_STEP];
    size_t got = sizeof(scratch);
    enum err err = E_OK;

    may_wait();
    if (is_warm(f, at, len))
        return E_OK;
    (void)!readahead(f->fd, at, len); /* advice */
    for (size_t done = 0; done < len && got == sizeof(scratch) && !err; done += got)
        err = file_read(f, at + (int64_t)done, scratch, sizeof(scratch), &got);
    return err;
}

void file_flush(struct file *f, int64_t at, size_t len)
{
    may_wait();
    (void)sync_file_range(f->fd, at, (int64_t)len,
                          SYNC_FILE_RANGE_WRITE); /* advice; file_sync() is the promise */
}

static enum err sync_result(struct file *f, int result)
{
    enum err err = of_result(result);

    if (err)
        atomic_store(&f->sync_failed, true);
    return err;
}

/* v[at] and all after it on the same file system; the first of them stands for all. */
static enum err sync_fs(struct file *const *v, int n, int at)
{
    enum err err = of_result(syncfs(v[at]->fd));

    for (int i = at; i < n && err; i++)
        if (v[i]->dev == v[at]->dev)
            atomic_store(&v[i]->sync_failed, true);
    return err;
}

static int count_fs(struct file *const *v, int n, dev_t dev)
{
    int count = 0;

    for (int i = 0; i < n; i++)
        count += v[i]->dev == dev;
    return count;
}

enum err file_sync(struct file *const *v, int n)
{
    enum err err = E_OK, one;
    dev_t whole = 0;
    bool any = false;

    may_wait();
    for (int i = 0; i < n; i++) {
        if (atomic_load(&v[i]->sync_failed)) {
            one = E_IO;
        } else if (any && v[i]->dev == whole) {
            continue;
        } else if (n - i >= SYNCFS_FROM && count_fs(v + i, n - i, v[i]->dev) >= SYNCFS_FROM) {
            one = sync_fs(v, n, i);
            whole = v[i]->dev;
            any = true;
        } else {
            one = sync_result(v[i], fdatasync(v[i]->fd));
        }
        err = err ? err : one;
    }
    return err;
}

static int compare_names(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;

    return strcmp(*x + 1, *y + 1);
}

/* Names are kept with 'd' or 'f' in front. */
static enum err read_names(DIR *dir, struct arena *a, char ***names, size_t *n)
{
    struct dirent *e;
    struct stat st;
    size_t room = 0;

    while ((errno = 0, e = readdir(dir))) {
        bool is_dir = e->d_type == DT_DIR;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (e->d_type == DT_UNKNOWN || e->d_type == DT_LNK)
            is_dir = fstatat(dirfd(dir), e->d_name, &st, 0) == 0 && S_ISDIR(st.st_mode);
        if (*n == room) {
            room = room ? 2 * room : 64;
            *names = heap_resize(a->heap, *names, room * sizeof(**names));
        }
        (*names)[(*n)++] = arena_printf(a, "%c%s", is_dir ? 'd' : 'f', e->d_name);
    }
    return err_of_errno(errno);
}

enum err dir_list(struct io *io, const char *path, dir_cb each, void *arg)
{
    struct arena a;
    char **names = NULL;
    size_t n = 0;

    may_wait();
    DIR *dir = opendir(path);
    if (!dir)
        return err_of_errno(errno);
    arena_init(&a, io->heap, SIZE_MAX);
    enum err err = read_names(dir, &a, &names, &n);
    closedir(dir);
    if (!err && n > 0) {
        qsort(names, n, sizeof(*names), compare_names);
        for (size_t i = 0; i < n; i++)
            each(arg, names[i] + 1, names[i][0] == 'd');
    }
    heap_free(io->heap, names);
    arena_drop(&a);
    return err;
}

enum err dir_make(struct io *io, const char *path)
{
    may_wait();
    return of_result(mkdir(path, 0755));
}

enum err dir_sync(struct io *io, const char *path)
{
    may_wait();
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_of_errno(errno);
    enum err err = of_result(fsync(fd));
    close(fd);
    return err;
}

enum err path_move(struct io *io, const char *from, const char *to)
{
    may_wait();
    return of_result(rename(from, to));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

enum err path_remove(struct io *io, const char *path)
{
    may_wait();
    return of_result(nftw(path, remove_one, FTW_FDS, FTW_DEPTH | FTW_PHYS));
}

enum err path_space(struct io *io, const char *path, int64_t *bytes_free, int64_t *bytes)
{
    struct statvfs st;

    may_wait();
    if (statvfs(path, &st) != 0)
        return err_of_errno(errno);
    *bytes_free = (int64_t)st.f_bavail * (int64_t)st.f_frsize;
    *bytes = (int64_t)st.f_blocks * (int64_t)st.f_frsize;
    return E_OK;
}

/* An open file description lock: it excludes our own process too, and Java's locks, and ends with the file.
 */
enum err path_lock(struct io *io, const char *path, struct file **out)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct file *f;
    enum err err = file_open(io, path, FILE_WRITE | FILE_CREATE, &f);

    if (err)
        return err;
    if (fcntl(f->fd, F_OFD_SETLK, &lock) == 0) {
        *out = f;
        return E_OK;
    }
    err = errno == EAGAIN || errno == EACCES ? E_BUSY : err_of_errno(errno);
    file_unref(f);
    return err;
}

static struct addr addr_of(const struct sockaddr *sa, uint16_t port)
{
    struct addr a = {.port = port, .ip = {[10] = 0xff, [11] = 0xff}};

    if (sa->sa_family == AF_INET)
        memcpy(a.ip + 12, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
    else
        memcpy(a.ip, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
    return a;
}

enum err addr_find(struct io *io, const char *host, uint16_t port, struct addr *v, int max, int *n)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC}, *found;

    may_wait();
    *n = 0;
    int error = getaddrinfo(host, NULL, &hints, &found);
    if (error)
        return error == EAI_AGAIN ? E_TIMEOUT : error == EAI_SYSTEM ? err_of_errno(errno) : E_NOENT;
    for (struct addrinfo *it = found; it && *n < max; it = it->ai_next)
        if (it->ai_family == AF_INET || it->ai_family == AF_INET6)
            v[(*n)++] = addr_of(it->ai_addr, port);
    freeaddrinfo(found);
    return *n ? E_OK : E_NOENT;
}
