#include "broker/bootstrap.h"
#include "log/whole_file.h"
#include "metadata/image_check.h"
#include "metadata/snapshot.h"

#define NAME "bootstrap.checkpoint"
enum { BYTES_MAX = 1 << 20 };

static void image_end(struct image *i, struct grave *g)
{
    image_unref(i, g);
    grave_empty(g);
}

enum err bootstrap_write(struct io *io, const char *dir, int16_t metadata_version)
{
    const struct meta_record feature = {
        .type = RECORD_FEATURE, .feature = {.name = SLICE(FEATURE_METADATA), .level = metadata_version}};
    struct snapshot_writer w;
    struct bytes out;
    struct image *image;
    struct grave g;
    enum err err;

    grave_init(&g, io_heap(io));
    image = image_new(&g);
    image_replay(image, &g, &feature);
    image_seal(image);
    bytes_init(&out, io_heap(io));
    snapshot_start(&w, io_heap(io), image);
    while (snapshot_step(&w, SNAPSHOT_BATCH_MAX, &out))
        ;
    snapshot_end(&w);
    image_end(image, &g);
    err = whole_file_replace(io, dir, NAME, bytes_slice(&out));
    bytes_drop(&out);
    return err;
}

static enum err read_image(struct slice in, struct grave *g, int16_t *metadata_version)
{
    struct snapshot_reader r;
    struct image *image;
    enum err err = E_OK, end;
    size_t used;

    snapshot_read_start(&r, g);
    for (; in.len > 0 && !err; in = slice_of(in.p + used, in.len - used)) {
        err = snapshot_read_step(&r, in, &used);
        if (err)
            break;
    }
    end = snapshot_read_end(&r, 0, 0, &image);
    if (end)
        return err ? err : end;
    *metadata_version = image_feature(image, FEATURE_METADATA);
    image_end(image, g);
    return err;
}

enum err bootstrap_read(struct io *io, const char *dir, int16_t *metadata_version)
{
    char *path = path_join(io_heap(io), dir, NAME);
    struct bytes in;
    struct grave g;
    enum err err;

    *metadata_version = METADATA_VERSION;
    grave_init(&g, io_heap(io));
    bytes_init(&in, io_heap(io));
    err = whole_file_read(io, path, BYTES_MAX, &in);
    if (err == E_NOENT) {
        err = E_OK;
    } else if (!err) {
        err = read_image(bytes_slice(&in), &g, metadata_version);
        if (err || *metadata_version < METADATA_VERSION_MIN || *metadata_version > METADATA_VERSION)
            err = E_MALFORMED;
    }
    bytes_drop(&in);
    heap_free(io_heap(io), path);
    return err;
}
