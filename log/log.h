/* One partition's append-only log, in Kafka's format on disk (log/segment.h has the files).
 * Loop:   a DISK loop: a log belongs to the loop of its log_env; every call may wait for the disk and is done
 *         when it returns. Nothing here keeps a timer: the owner calls what is due (log_env_due).
 * Memory: a log at rest is a few hundred bytes and no descriptor. log_append() borrows its bytes for the
 *         call; log_read() lends a counted file and copies nothing.
 * Order:  offsets rise; an append is all or nothing to readers in this process.
 * Always: start <= end; recovered <= synced <= end; after a failure that sticks, the whole log directory
 *         answers E_KAFKA_STORAGE_ERROR; a full disk answers E_FULL, keeps what is there, and ends by itself.
 */
#pragma once
#include "log/dir.h"
#include "log/epochs.h"
#include "log/producers.h"
#include "proto/batch.h"

struct log;
struct log_env;

/* ---- one a DISK loop ---- */
struct log_env_config {
    struct io *io;
    struct codec_cache *codecs;
    int files_max;       /* open descriptors kept; at least 3 */
    int index_pages_max; /* cached index pages of 4 KB */
    int64_t producer_expiration_ms;
    bool silent;       /* the owner says it when a directory fails: log_dir.why, log_dir.doing */
    int64_t keep_free; /* bytes of a disk that appends leave to others: E_FULL; 0: to nobody */
    /* A directory met an error that sticks; called once a directory, never twice. May be NULL. */
    void (*failed)(void *arg, struct log_dir *dir);
    void *arg;
};
struct log_counters {
    uint64_t appends, bytes_in, rolls, syncs, files_opened, index_reads, recovered_bytes, truncations;
};
struct log_env *log_env_new(const struct log_env_config *config);
void log_env_drop(struct log_env *env);                             /* all its logs are closed */
struct log_dir *log_env_dir(struct log_env *env, const char *path); /* the same one for the same path */
/* why, while what: what a person reads. E_KAFKA_STORAGE_ERROR: another loop met it and has said so. */
void log_dir_fail(struct log_env *env, struct log_dir *dir, enum err why, const char *what);
const struct log_counters *log_env_counters(const struct log_env *env);
/* Descriptors that nobody used for a while are closed, and files whose time has come are removed. Returns the
 * wall time at which there is more to do, or INT64_MAX when all is at rest. */
int64_t log_env_due(struct log_env *env, int64_t now_ms);
int log_env_files_open(const struct log_env *env);

/* ---- settings: Kafka's names and defaults; lent, one for many logs ---- */
struct log_config {
    int32_t segment_bytes;
    int32_t segment_index_bytes;
    int32_t index_interval_bytes;
    int32_t max_message_bytes;
    int64_t segment_ms;
    int64_t segment_jitter_ms;
    int64_t retention_ms;    /* -1: for ever */
    int64_t retention_bytes; /* -1: any size */
    int64_t file_delete_delay_ms;
    int64_t flush_messages;
    int64_t flush_ms;
    int64_t delete_retention_ms;
    int64_t min_compaction_lag_ms;
    int64_t max_compaction_lag_ms;
    int64_t timestamp_before_max_ms;
    int64_t timestamp_after_max_ms;
    double min_cleanable_dirty_ratio;
    enum codec codec; /* used where `recompress` is set */
    int codec_level;
    bool recompress; /* compression.type isn't `producer` */
    bool cleanup_delete;
    bool cleanup_compact;
    bool append_time; /* message.timestamp.type */
    bool preallocate;
    bool durable; /* log.durable, ours: acknowledged means on disk */
};
void log_config_init(struct log_config *c); /* Kafka's defaults */

/* ---- open, close ---- */
struct log_start {
    int64_t recovery_point; /* from the checkpoint; 0: unknown */
    int64_t start;          /* log start offset from its checkpoint; -1: the first segment's */
    bool promised;          /* nothing but a torn write may be cut: what was synced is counted on elsewhere */
    /* This process had the log open before, and a sync failed: what lies behind `synced`, the end of what had been synced
     * then, is cut unread. The page cache may show bytes there that no later sync would write. */
    bool doubted;
    int64_t synced;
    struct log_dir_past past;
};
/* Loads the log at dir->path/name, or makes an empty one, which costs no directory until its first append.
 * clean: nothing is scanned. Same boot: from the last index row or the recovery point, whichever is earlier.
 * Else from the recovery point. A torn tail is cut at a batch's end, with a trace row; indexes that are
 * missing or wrong are rebuilt. promised: a batch that is wrong, and yet no write that a crash tore (torn.h), isn't cut.
 * E_CORRUPT_MESSAGE      promised, and there is such a batch: a trace row says where; the directory stays online
 * E_MALFORMED            partition.metadata names another topic: *out stays NULL
 * E_FULL                 no space for what recovery has to write
 * E_KAFKA_STORAGE_ERROR  the directory is offline now */
enum err log_open(struct log_env *env, struct log_dir *dir, const char *name, const struct uuid *topic_id,
                  const struct log_config *config, const struct log_start *from, struct log **out);
/* Everything is on disk, snapshot included, unless the directory is offline; frees the log. */
enum err log_close(struct log *log);
void log_abandon(struct log *log); /* frees it as it is */
/* The directory is renamed at once and durably; its files go at now + file.delete.delay.ms. Frees the log. */
enum err log_delete(struct log *log, int64_t now_ms);
void log_configure(struct log *log, const struct log_config *config); /* from now on */
/* Gives back descriptors and buffers: a log that nobody uses. */
enum err log_rest(struct log *log);

/* To another loop: log_leave() takes the log out of its env, descriptors and unwritten rows included, without a word to the
 * disk; log_enter(), on the other loop, puts it into that loop's env, where `dir` is its directory. In between
 * nobody touches it. A cleaning of it has ended before. log_configure() next: the settings were lent by the old loop. */
void log_leave(struct log *log);
void log_enter(struct log *log, struct log_env *env, struct log_dir *dir);

/* ---- facts ---- */
int64_t log_start(const struct log *log);
int64_t log_end(const struct log *log);
int64_t log_synced(const struct log *log); /* records below it are on disk */
int64_t log_recovery_point(
    const struct log *log); /* what the checkpoint should say: indexes too are on disk */
/* The checkpoint promises more than is there, because the log was cut: after log_open(), log_truncate() and
 * log_restart_at() the owner saves it if this is true, before the next append. Else a power cut would let
 * records that were never synced pass for recovered ones. log_checkpointed(): it is saved. */
bool log_checkpoint_first(const struct log *log);
void log_checkpointed(struct log *log, int64_t recovery_point);
int64_t log_size(const struct log *log); /* bytes of its .log files */
int64_t log_stable_limit(
    const struct log *log); /* first offset of the oldest open transaction; log end if none */
const char *log_name(const struct log *log);
struct log_dir *log_directory(const struct log *log);
const struct log_config *log_settings(const struct log *log);
const struct epochs *log_epochs(const struct log *log);
const struct producers *log_producers(const struct log *log);
struct epoch_end log_epoch_end(const struct log *log, int32_t epoch);

/* ---- append ---- */
enum log_origin {
    LOG_FROM_CLIENT,      /* one batch, checked by batch_check(); offsets are assigned, sequences checked */
    LOG_FROM_COORDINATOR, /* our own batches, markers too; offsets are assigned */
    LOG_FROM_LEADER       /* any batches with their offsets: replicas and raft */
};
struct log_append {
    struct slice bytes; /* whole batches, one after the other */
    enum log_origin origin;
    int32_t leader_epoch; /* assigned to them; not used FROM_LEADER */
    int64_t now_ms;       /* wall clock */
    /* out */
    int64_t base_offset;
    int64_t last_offset;
    int64_t max_timestamp;
    bool duplicate; /* it was appended before; the offsets are of that time */
    bool flush_due; /* flush.messages or log.durable: sync before it is acknowledged */
};
/* E_OK                  appended (or a duplicate, which changes nothing)
 * E_RECORD_LIST_TOO_LARGE   more than segment.bytes from a client
 * E_OUT_OF_ORDER_SEQUENCE_NUMBER, E_INVALID_PRODUCER_EPOCH, E_INVALID_TXN_STATE,
 * E_TRANSACTION_COORDINATOR_FENCED   as producers_check() says
 * E_CORRUPT_MESSAGE     FROM_LEADER: not whole batches, a wrong CRC; what came before it stays appended
 * E_OFFSET_OUT_OF_RANGE FROM_LEADER: begins before the log's end
 * E_FULL                nothing was appended; try again
 * E_KAFKA_STORAGE_ERROR the directory is offline */
enum err log_append(struct log *log, struct log_append *a);

/* ---- flush ---- */
enum log_sync_how {
    LOG_SYNC_DATA, /* what was acknowledged: records only */
    LOG_SYNC_ALL   /* indexes, producers' snapshot: the recovery point moves to the end */
};
/* Many logs for the price of one flush. Logs whose sync failed are on an offline directory afterwards; the
 * rest is synced. Returns the first error. */
enum err log_sync(struct log *const *v, int n, enum log_sync_how how);
void log_flush(struct log *log); /* begins write-back, doesn't wait */
/* When flush.ms wants the oldest unsynced append synced; INT64_MAX: nothing is unsynced or no such setting.
 */
int64_t log_sync_due(const struct log *log);

/* ---- read ---- */
struct log_limits {
    int64_t up_to;    /* no batch that ends at or past this offset: high watermark, last stable offset */
    size_t max_bytes; /* the last batch may be cut by it */
    bool min_one;     /* the first batch is given whole, whatever max_bytes is */
};
struct log_range {
    struct file *file; /* counted: the caller's to unref; NULL when len is 0 */
    int64_t at;
    size_t len;
    int64_t base_offset; /* of the first batch … */
    size_t first_len;    /* … and all its bytes, however many of them `len` takes */
};
/* From the batch that holds `offset`, or the first one behind it, within one segment.
 * E_OFFSET_OUT_OF_RANGE: outside start … end. At the end or past up_to: E_OK, nothing. */
enum err log_read(struct log *log, int64_t offset, const struct log_limits *limits, struct log_range *out);
void log_range_drop(struct log_range *r);

/* ---- time ---- */
struct log_at {
    int64_t offset; /* -1: none */
    int64_t timestamp;
    int32_t leader_epoch;
};
enum err log_offset_at_time(struct log *log, int64_t timestamp, int64_t up_to,
                            struct log_at *out); /* first >= it */
enum err log_max_timestamp(struct log *log, int64_t up_to, struct log_at *out);

/* ---- cut ---- */
/* The log ends at `offset` afterwards, or at the start of the batch that holds it. Durable when it returns.
 * Never below log_start(): that is log_restart_at(). */
enum err log_truncate(struct log *log, int64_t offset);
/* Everything goes; the next append is at `offset`. */
enum err log_restart_at(struct log *log, int64_t offset, int64_t now_ms);
/* DeleteRecords: readers see nothing below `offset` from now on; log_retain() removes whole segments.
 * E_OFFSET_OUT_OF_RANGE: past up_to. Lower than it is: nothing happens. */
enum err log_start_set(struct log *log, int64_t offset, int64_t up_to);
/* Removes segments by time, size and log start, none that reaches past up_to. *removed says how many. */
enum err log_retain(struct log *log, int64_t now_ms, int64_t up_to, int *removed);
/* Forgets producers that expired (producer.id.expiration.ms). */
void log_producers_expire(struct log *log, int64_t now_ms);
