/* Checkpoints: the committed image as a file `<offset, 20 digits>-<epoch, 10 digits>.checkpoint` beside the
 * metadata log. The offset is the first one that isn't in it, the epoch that of the last one that is.
 *
 *     metadata/snapshot.h's batches, and behind its header the voters' configuration (voters.h)
 *
 * A file is written as <name>.tmp, read again, synced and only then renamed: what has its name is whole,
 * unless the disk forgets.
 *
 * Loop:   one DISK loop; a writer works in short steps, so that other work gets its turn between them.
 * Memory: a writer holds one batch; reading holds the image, one stretch of the file, and a batch that isn't whole. */
#pragma once
#include "base/io.h"
#include "metadata/snapshot.h"
#include "quorum/voters.h"

struct ckpt_id {
    int64_t offset;
    int32_t epoch;
};

enum { CKPT_NAME_LEN = 20 + 1 + 10 + 11 }; /* offset, dash, epoch, ".checkpoint" */
void ckpt_name(struct ckpt_id id, char name[CKPT_NAME_LEN + 1]);
bool ckpt_parse(const char *name, struct ckpt_id *out); /* false: no checkpoint's name */

/* The newest ones, newest first. One at offset 0 isn't one: nothing is in it (formatted.h). */
enum { CKPT_LIST_MAX = 16 };
struct ckpt_list {
    struct ckpt_id v[CKPT_LIST_MAX];
    int n;
};
enum err ckpt_list_read(struct io *io, const char *dir, struct ckpt_list *out);
/* All but the newest `keep` go; *oldest: the offset of the last one kept, -1 if there are fewer. */
enum err ckpt_keep(struct io *io, const char *dir, int keep, int64_t *oldest);

/* The sealed image and the configuration. Any error of the format says that the file is damaged. */
enum err ckpt_load(struct io *io, const char *dir, struct ckpt_id id, struct grave *g, struct image **image,
                   struct voters *voters);

/* The same of bytes that come one after the other, cut anywhere: no file. What is decoded is kept, and of the bytes only those
 * of a batch that isn't whole yet. On one loop at a time. */
struct ckpt_stream {
    struct ckpt_id id;
    struct snapshot_reader records;
    struct voters voters;
    struct bytes rest;
    enum err err; /* the first one: nothing more is taken */
};
void ckpt_stream_start(struct ckpt_stream *s, struct ckpt_id id, struct grave *g);
enum err ckpt_stream_take(struct ckpt_stream *s, struct slice bytes);
/* Once, also after an error or in the middle: then *image is NULL. Frees what the stream holds. */
enum err ckpt_stream_end(struct ckpt_stream *s, struct image **image, struct voters *voters);

/* As a file, for others. E_SNAPSHOT_NOT_FOUND. */
enum err ckpt_open(struct io *io, const char *dir, struct ckpt_id id, struct file **out);

/* A piece at `at` of a file of `size` bytes, of which the pieces before said `known`; 0: there were none. */
bool ckpt_piece_fits(int64_t at, int64_t size, int64_t known, size_t len);

/* One that comes from another voter, as <name>.part. A piece at 0 begins anew; what is whole is loaded from there like
 * any other, and only then gets its name, durably. */
enum err ckpt_part_write(struct io *io, const char *dir, struct ckpt_id id, int64_t at, struct slice bytes);
enum err ckpt_part_load(struct io *io, const char *dir, struct ckpt_id id, struct grave *g,
                        struct image **image, struct voters *voters);
enum err ckpt_part_name(struct io *io, const char *dir, struct ckpt_id id);

struct ckpt_writer {
    struct io *io;
    const char *dir;
    const struct image *image; /* only read; held until the end */
    struct voters voters;
    struct ckpt_id id;
    struct snapshot_writer records;
    struct bytes out;
    struct file *file; /* NULL: not begun */
    int64_t at;        /* written, then read again up to here */
    enum { CKPT_WRITE, CKPT_CHECK, CKPT_NAME } stage;
};
/* `dir` is lent. Between the image and id.offset lie control batches at most. Nothing is touched before the first
 * step. */
void ckpt_start(struct ckpt_writer *w, struct io *io, const char *dir, struct ckpt_id id,
                const struct image *image, const struct voters *voters);
/* One step. *more is false: the file is there, durable under its name, or the error says why it is not. */
enum err ckpt_step(struct ckpt_writer *w, bool *more);
/* At any time; what isn't whole yet is removed, as far as the disk lets. */
void ckpt_end(struct ckpt_writer *w);
