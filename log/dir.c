#include "log/dir.h"
#include "log/whole_file.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define META_FILE  "meta.properties"
#define LOCK_FILE  ".lock"
#define CLEAN_FILE ".kafka_cleanshutdown"
#define BOOT_FILE  "weir-boot-id"
enum { SMALL_MAX = 65536 };

static enum err small_read(struct io *io, const char *dir, const char *name, struct bytes *out)
{
    char *path = path_join(io_heap(io), dir, name);
    enum err err;

    bytes_init(out, io_heap(io));
    err = whole_file_read(io, path, SMALL_MAX, out);
    if (!err)
        *bytes_more(out, 1) = 0;
    heap_free(io_heap(io), path);
    return err;
}

/* What stands behind `key` at the start of a line, up to its end. */
static bool line_find(const char *text, const char *key, struct slice *out)
{
    size_t n = strlen(key);

    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, n) == 0) {
            *out = slice_of(line + n, strcspn(line + n, "\r\n"));
            return true;
        }
    }
    return false;
}

/* ---- meta.properties ---- */

static bool meta_parse(const char *text, struct log_meta *out)
{
    struct slice version, cluster, node, id;
    char *end;
    long n;

    if (!line_find(text, "version=", &version) || !slice_eq(version, SLICE("1")) ||
        !line_find(text, "cluster.id=", &cluster) || cluster.len >= sizeof out->cluster_id ||
        cluster.len == 0 || !line_find(text, "node.id=", &node) || !line_find(text, "directory.id=", &id) ||
        !uuid_parse(id, &out->directory_id))
        return false;
    n = strtol((char *)node.p, &end, 10);
    if (end != (char *)node.p + node.len || node.len == 0 || n < 0 || n > INT32_MAX)
        return false;
    out->node_id = (int32_t)n;
    memcpy(out->cluster_id, cluster.p, cluster.len);
    out->cluster_id[cluster.len] = 0;
    return true;
}

enum err log_meta_read(struct io *io, const char *dir, struct log_meta *out)
{
    struct bytes text;
    enum err err = small_read(io, dir, META_FILE, &text);

    if (!err && !meta_parse((char *)text.p, out))
        err = E_MALFORMED;
    bytes_drop(&text);
    return err;
}

enum err log_meta_write(struct io *io, const char *dir, const struct log_meta *meta)
{
    char id[UUID_TEXT_LEN + 1];
    struct bytes text;
    enum err err;

    uuid_text(meta->directory_id, id);
    bytes_init(&text, io_heap(io));
    bytes_printf(&text, "#\nversion=1\ncluster.id=%s\nnode.id=%d\ndirectory.id=%s\n", meta->cluster_id,
                 meta->node_id, id);
    err = whole_file_replace(io, dir, META_FILE, bytes_slice(&text));
    bytes_drop(&text);
    return err;
}

enum err log_dir_lock(struct io *io, const char *dir, struct file **out)
{
    char *path = path_join(io_heap(io), dir, LOCK_FILE);
    enum err err = path_lock(io, path, out);

    heap_free(io_heap(io), path);
    return err;
}

/* ---- how the last process left it ---- */

static void boot_text(struct io *io, char out[33])
{
    uint8_t id[16];

    io_boot_id(io, id);
    for (int i = 0; i < 16; i++)
        snprintf(out + (size_t)2 * i, 3, "%02x", id[i]);
}

enum err log_dir_past_read(struct io *io, const char *dir, struct log_dir_past *out)
{
    struct bytes text;
    char boot[33];
    const char *epoch;
    enum err err = small_read(io, dir, CLEAN_FILE, &text);

    *out = (struct log_dir_past){.clean = !err, .broker_epoch = -1};
    if (!err) {
        epoch = strstr((char *)text.p, "\"brokerEpoch\":");
        if (epoch)
            out->broker_epoch = strtoll(epoch + strlen("\"brokerEpoch\":"), NULL, 10);
    }
    bytes_drop(&text);
    if (err && err != E_NOENT)
        return err;
    err = small_read(io, dir, BOOT_FILE, &text);
    boot_text(io, boot);
    out->same_boot = !err && slice_eq(slice_of(text.p, strlen((char *)text.p)), SLICE(boot));
    bytes_drop(&text);
    return err == E_NOENT ? E_OK : err;
}

enum err log_dir_running(struct io *io, const char *dir, const struct log_dir_past *past)
{
    char *path = path_join(io_heap(io), dir, CLEAN_FILE);
    char boot[33];
    enum err err = path_remove(io, path);

    heap_free(io_heap(io), path);
    boot_text(io, boot);
    if (err && err != E_NOENT)
        return err;
    if (!past->same_boot) {
        err = whole_file_replace(io, dir, BOOT_FILE, SLICE(boot)); /* syncs the names in the directory too */
        if (err != E_FULL)
            return err; /* without room another boot's id stays: the next start reads more than it needs to */
    }
    return dir_sync(io, dir); /* no marker here doesn't mean that its removal is durable */
}

enum err log_dir_clean(struct io *io, const char *dir, int64_t broker_epoch)
{
    char text[64];

    snprintf(text, sizeof text, "{\"version\":0,\"brokerEpoch\":%" PRId64 "}", broker_epoch);
    return whole_file_replace(io, dir, CLEAN_FILE, SLICE(text));
}

/* ---- partitions ---- */

static bool digits(const char *p, const char *end, int32_t *out)
{
    int64_t n = 0;

    if (p == end || end - p > 10)
        return false;
    for (; p < end; p++) {
        if (*p < '0' || *p > '9')
            return false;
        n = n * 10 + (*p - '0');
    }
    *out = (int32_t)n;
    return n <= INT32_MAX;
}

static bool hex(const char *p, size_t n)
{
    return n == 32 && strspn(p, "0123456789abcdef") >= 32;
}

bool log_dir_parse(const char *name, enum log_dir_kind *kind, struct slice *topic, int32_t *partition)
{
    static const struct {
        const char *end;
        enum log_dir_kind kind;
    } kinds[] = {{"-delete", LOG_DIR_DELETE}, {"-stray", LOG_DIR_STRAY}, {"-future", LOG_DIR_FUTURE}};
    const char *end = name + strlen(name);
    const char *dash;

    *kind = LOG_DIR_LIVE;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t n = strlen(kinds[i].end);

        /* <topic>-<n>.<32 hexadecimal digits><end> */
        if ((size_t)(end - name) <= n + 33 || strcmp(end - n, kinds[i].end) != 0 || !hex(end - n - 32, 32) ||
            end[-(ptrdiff_t)n - 33] != '.')
            continue;
        *kind = kinds[i].kind;
        end -= n + 33;
        break;
    }
    dash = memrchr(name, '-', (size_t)(end - name));
    if (!dash || dash == name || dash - name > 249)
        return false;
    *topic = slice_of(name, (size_t)(dash - name));
    return digits(dash + 1, end, partition);
}

struct dir_listing {
    log_dir_cb each;
    void *arg;
};

static void dir_listed(void *arg, const char *name, bool is_dir)
{
    const struct dir_listing *l = arg;
    enum log_dir_kind kind;
    struct slice topic;
    int32_t partition;

    if (is_dir && log_dir_parse(name, &kind, &topic, &partition))
        l->each(l->arg, name, kind, topic, partition);
}

enum err log_dir_list(struct io *io, const char *dir, log_dir_cb each, void *arg)
{
    struct dir_listing l = {.each = each, .arg = arg};

    return dir_list(io, dir, dir_listed, &l);
}

enum err log_dir_stray(struct io *io, const char *dir, const char *name)
{
    struct bytes to;
    uint8_t id[16];
    char *from = path_join(io_heap(io), dir, name);
    enum err err;

    io_random(io, id, sizeof id);
    bytes_init(&to, io_heap(io));
    bytes_printf(&to, "%s/%.*s.", dir, 255 - 40, name);
    for (size_t i = 0; i < sizeof id; i++)
        bytes_printf(&to, "%02x", id[i]);
    bytes_printf(&to, "-stray");
    err = path_move(io, from, (char *)to.p);
    if (!err)
        err = dir_sync(io, dir);
    bytes_drop(&to);
    heap_free(io_heap(io), from);
    return err;
}

enum err log_dir_topic_id(struct io *io, const char *dir, const char *name, struct uuid *out)
{
    char *path = path_join(io_heap(io), dir, name);
    struct slice id;
    struct bytes text;
    enum err err = small_read(io, path, "partition.metadata", &text);

    if (!err && (!line_find((char *)text.p, "version: 0", &id) ||
                 !line_find((char *)text.p, "topic_id: ", &id) || !uuid_parse(id, out)))
        err = E_MALFORMED;
    bytes_drop(&text);
    heap_free(io_heap(io), path);
    return err;
}
