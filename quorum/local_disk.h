/* The files of a one-voter quorum: what local.c does on its DISK loop, in straight lines.
 * Loop:   one DISK loop for all of it.
 * Memory: the image that opening builds is handed over with its one reference; until then everything about
 *         it, graves included, is this loop's alone, and nothing of it stays here.
 * Again:  settings->mark: opened before by this process. What it had synced must be there (else E_KAFKA_STORAGE_ERROR, as of a
 *         disk that isn't back yet), what it hadn't is cut, and quorum-state is written anew before it is believed.
 * Always: once `err` is set it stays, and every call answers it without touching the disk. */
#pragma once
#include "log/log.h"
#include "quorum/ckpt.h"
#include "quorum/quorum.h"
#include "quorum/quorum_state.h"

struct local_disk {
    struct io *io;
    const struct quorum_settings *settings;
    char *path; /* of the log's directory */
    struct codec_cache *codecs;
    struct log_config config;
    struct log_env *env;
    struct log *log; /* NULL: not open */
    struct grave grave;
    struct voters voters;
    int32_t server_id;
    int32_t epoch;    /* in which this start leads */
    int64_t snapshot; /* offset of the newest; -1: none */
    int32_t snapshot_epoch;
    int64_t synced;   /* the end of what is surely on disk, also after a failure; */
    bool known;       /* … it was, in this start */
    bool unsure;      /* nobody can tell what is */
    int64_t replayed; /* bytes of the log that it doesn't hold, found at the start */
    struct ckpt_writer writer;
    bool writing;
    bool tight;       /* the reserve was given up: only what frees room should come */
    enum err err;     /* the first one */
    enum err why;     /* what the disk said, where `err` only says that it failed */
    const char *what; /* was being done then */
};

/* `settings` is lent until the close. */
void local_disk_init(struct local_disk *d, struct io *io, const struct quorum_settings *settings);
/* The newest good checkpoint (*image, or NULL: none), the open log behind it, term and vote. An empty directory gets
 * `first` as the log's first configuration, if it names anybody. */
enum err local_disk_load(struct local_disk *d, const struct voters *first, struct image **image,
                         struct quorum_state *state);
/* An empty log gets it later. */
enum err local_disk_found(struct local_disk *d, const struct voters *first);
/* *image, which may be NULL, becomes what the whole log leads to, sealed. */
enum err local_disk_replay(struct local_disk *d, struct image **image);
/* Notes the first error and what was being done; returns the one that is noted. */
enum err local_disk_failed(struct local_disk *d, enum err err, const char *what);
/* Loads what is there, or makes it, and begins a new epoch: its barrier is on disk. */
enum err local_disk_open(struct local_disk *d, struct image **image);
/* What was opened, as a line of the log. */
void local_disk_told(const struct local_disk *d, int32_t epoch);
/* Whole batches that carry their offsets and epoch. E_FULL isn't kept: nothing was appended, try again. */
enum err local_disk_append(struct local_disk *d, struct slice bytes);
/* Is there room again? d->tight says it. */
void local_disk_look(struct local_disk *d);
enum err local_disk_sync(struct local_disk *d);
enum err local_disk_cut(struct local_disk *d, int64_t offset); /* durable when it returns */
/* A checkpoint of the leader stands in the directory; the log begins anew behind it. */
enum err local_disk_restart(struct local_disk *d, struct ckpt_id id);
void local_disk_give_up(struct local_disk *d); /* nobody waits for room any more */
/* A snapshot in short steps. *more is false at its end; where a full disk put it off that is no error. */
void local_disk_snapshot_start(struct local_disk *d, struct ckpt_id id, const struct image *image,
                               const struct voters *voters);
enum err local_disk_snapshot_step(struct local_disk *d, bool *more);
void local_disk_snapshot_end(struct local_disk *d); /* at any time */
/* Syncs, closes and frees everything. */
enum err local_disk_close(struct local_disk *d);
