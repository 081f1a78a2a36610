/* The metadata of a running cluster, read from its controllers as brokers read it: Fetch of __cluster_metadata, and its
 * snapshot by FetchSnapshot where the log no longer begins at 0. It makes the same places and sources as files do.
 *
 *     begin ─► Fetch at 0: who leads, the high watermark, the snapshot if the log begins later
 *     log   ─► Fetch from there on, each with the epoch of the batch before, up to that high watermark
 *     snapshot ─► FetchSnapshot, piece by piece
 *
 * A voter of weir's answers anybody, with what it knows to have committed; of Apache Kafka's only the leader does, and
 * the others say who that is: it is asked then.
 *
 * Loop:   the main thread; each question waits for its answer. Memory: one answer, and of a snapshot the batch that is
 *         cut by its end.
 * Always: nothing behind the high watermark that was told at the beginning is shown: it may never be committed.
 * Ends:   what fails is a sentence, in meta_source.why. */
#pragma once
#include "tools/meta_source.h"

enum {
    LIVE_FETCH_BYTES = 1 << 20, /* asked for in one answer; a node may give less */
    LIVE_TRIES = 50,            /* with a pause before each, until somebody leads */
    LIVE_PAUSE_MS = 100,
};

/* Where questions go; tools/meta_link.h is one, of sockets. */
struct meta_asker {
    /* Waits. The answer lives in `a`. Errors are the client's (broker/net/client.h). node -1: any that was named. */
    enum err (*ask)(struct meta_asker *q, int32_t node, int16_t api_key, const void *in, struct arena *a,
                    const void **out);
    void (*place)(struct meta_asker *q, int32_t node, struct slice host, uint16_t port); /* where it is */
    void (*pause)(struct meta_asker *q, int ms);
};

struct meta_live {
    struct tool *t;
    struct meta_asker *asker;
    const char *at;       /* as typed */
    int32_t node;         /* who is asked; -1: any */
    int32_t leader_epoch; /* as told */
    int64_t end;          /* the high watermark at the beginning; -1: not told yet */
    int64_t start;        /* where the log is read from: its own start, or the snapshot's end … */
    int32_t start_epoch;  /* … and the epoch of what is before it */
    const char *why;
};

/* Who leads, how far it is, where the log begins. false: l->why is a sentence. Lent until the place isn't used any more:
 * l, asker. */
bool meta_live_begin(struct meta_live *l, struct tool *t, struct meta_asker *asker, const char *at,
                     struct meta_place *out);

/* The source of a file that is one of a live place's. */
struct meta_source *meta_live_source(const struct meta_file *f, int64_t from);
