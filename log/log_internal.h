/* What the files of log/ know of each other. Nobody outside includes it. */
#pragma once
#include "base/list.h"
#include "base/trace.h"
#include "log/segment.h"

/* An open descriptor. The least recently used is closed when there are more than files_max; one with unsynced
 * bytes of a durable topic isn't. */
struct log_file {
    struct list link;
    struct segment *segment;
    enum segment_file kind;
    struct file *file;
    int64_t used_ms;
};

/* 4 KB of an index as read: whole rows. */
struct index_page {
    struct list link;        /* env->pages, least recently used first */
    struct index_page *next; /* of the segment's, most recently used first */
    struct segment *segment;
    enum segment_file kind;
    uint32_t number;
    uint32_t rows;
    uint8_t bytes[4096];
};

/* A path whose time to go comes. */
struct log_removal {
    struct list link;
    int64_t due_ms;
    char *path;
};

struct log_env {
    struct log_env_config config;
    struct io *io;
    struct heap *heap;
    uint64_t seed;
    int64_t now_ms;    /* the wall clock as last told */
    struct list files; /* least recently used first */
    int files_n;
    bool trimming;     /* closing descriptors, which may open others */
    struct list pages; /* of index.c, likewise */
    int pages_n;
    struct list removals; /* by due_ms */
    struct list logs;
    struct log_dir **dirs;
    int dirs_n;
    struct log_counters counters;
};

struct log {
    struct list link; /* env->logs */
    struct log_env *env;
    struct log_dir *dir;
    char *name;
    const struct log_config *config;
    struct segment **segments; /* by base; the last is the active one; none before the first append */
    uint32_t segments_n;
    uint32_t segments_room;
    int64_t start;
    int64_t end;
    int64_t synced;
    int64_t recovered;
    int64_t checkpointed; /* the recovery point that the checkpoint has */
    int64_t unsynced_ms;  /* when the oldest unsynced append came */
    int64_t active_ms;    /* when the active segment was made, as far as known */
    int32_t jitter_ms;
    enum err sync_err; /* its fate in the flush under way */
    uint32_t cuts;     /* truncations and restarts so far: a cleaning that began before one ends */
    bool made;         /* the directory is there */
    bool promised;     /* log_start's */
    int64_t scan_end;  /* nothing from there on is believed */
    bool names_loose;  /* names in it aren't durable yet */
    bool parent_loose; /* its own name isn't */
    bool id_loose;     /* partition.metadata isn't durable yet … */
    bool epochs_loose; /* … nor is the epochs' file */
    struct uuid topic_id;
    struct epochs epochs;
    struct producers producers;
};

static inline struct segment *log_active(const struct log *log)
{
    return log->segments_n ? log->segments[log->segments_n - 1] : NULL;
}
static inline bool log_unsynced(const struct log *log)
{
    return log->synced < log->end;
}
char *log_path(const struct log *log); /* dir/name; the caller frees it */
struct segment *log_segment_at(const struct log *log,
                               int64_t offset); /* the last with base <= offset; or NULL */
uint32_t log_segment_number(const struct log *log, const struct segment *s);
int64_t log_segment_end(const struct log *log, uint32_t i); /* base of the next, or the log's end */
/* `fresh` takes the place of n segments from `first` on; the old ones are the caller's. */
void log_segments_splice(struct log *log, uint32_t first, uint32_t n, struct segment *const *fresh,
                         uint32_t fresh_n);
enum err log_roll(struct log *log, int64_t base, int64_t now_ms);
/* Renamed to .deleted, removed at now + file.delete.delay.ms (delay 0: at once); frees the segment. */
enum err log_segment_drop(struct log *log, struct segment *s, int64_t now_ms);
void log_remove_later(struct log_env *env, char *path, int64_t due_ms); /* takes the path */
/* When what is given up now may be removed: file.delete.delay.ms, but at once where the disk has no room. */
int64_t log_removal_ms(const struct log *log, int64_t now_ms);
/* Its directory was full a moment ago: nothing is tried. */
bool log_still_full(const struct log *log, int64_t now_ms);
/* E_FULL: these bytes more would leave less than keep_free. */
enum err log_room(struct log *log, size_t bytes, int64_t now_ms);
/* A failure of the disk: E_FULL becomes the directory's state, anything else takes it offline. Returns what a
 * caller of log.h sees. */
enum err log_failed(struct log *log, enum err err, const char *doing);
void log_check(const struct log *log); /* the invariants of log.c */
/* The epochs changed: their file follows, before what they speak of is written. */
enum err log_epochs_keep(struct log *log);
#define METADATA_FILE "partition.metadata"
void log_segment_push(struct log *log, struct segment *s);
enum err log_make(struct log *log); /* the directory, for the first append */
/* listing.c: segments with their sizes; what a crash left half done is removed. */
enum err log_directory_load(struct log *log, const char *path);
/* recover.c. `agree` is asked once the directory is known to be there, before anything in it is touched. */
enum err log_recover(struct log *log, const struct log_start *from, enum err (*agree)(struct log *log));
/* From the newest snapshot and the batches behind it. trust: where there is no snapshot there was nobody. */
enum err log_producers_rebuild(struct log *log, bool trust);
/* The whole batch is in memory if it is a control batch: the marker in it is read. */
void producer_batch_of(const struct batch_view *v, struct producer_batch *b);

/* ---- files.c ---- */
void files_close(struct log_file *f);
/* Logs whose descriptors nobody used since then are put to rest. */
void files_rest(struct log_env *env, int64_t unused_since_ms);

/* ---- index.c: rows of a segment's two indexes ---- */
enum err index_rows_load(struct segment *s); /* how many there are, from the files' sizes */
struct index_row {
    int64_t offset;
    int64_t at;
};
struct time_row {
    int64_t timestamp;
    int64_t offset;
};
struct segment_tail {
    int64_t since_row; /* bytes appended since the last row */
    int64_t time_last; /* timestamp of the last time row; -1: none */
    uint32_t index_n;
    uint32_t time_n;
    struct index_row index[INDEX_TAIL_MAX];
    struct time_row time[INDEX_TAIL_MAX];
};
/* The last row with offset <= the wanted one; {base, 0} before the first. */
enum err index_floor(struct segment *s, int64_t offset, struct index_row *out);
enum err index_get(struct segment *s, uint32_t i, struct index_row *out);
enum err time_get(struct segment *s, uint32_t i, struct time_row *out);
/* The last row with a timestamp <= the wanted one; {-1, base} before the first. */
enum err time_floor(struct segment *s, int64_t timestamp, struct time_row *out);
enum err time_row_add(struct segment *s);              /* if max_timestamp rose since the last row */
enum err index_cut(struct segment *s, int64_t offset); /* rows of offsets >= offset go */
void index_pages_drop(struct segment *s);
