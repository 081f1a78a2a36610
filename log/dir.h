/* One of a node's log directories: what is in it, and the small files at its top. It fails alone.
 * Loop:   a `struct log_dir` belongs to one DISK loop; loops that share a directory have one each, and the
 * loop that meets a failure tells the others (log_env.failed), which call log_dir_fail(). The functions below
 * it that take a path keep no state.
 *
 * <dir>/.lock                 held while a process uses it
 *       meta.properties       version, cluster.id, node.id, directory.id
 *       .kafka_cleanshutdown  {"version":0,"brokerEpoch":N}: there only after a clean stop
 *       weir-reserve          room for metadata on a full disk (reserve.h): ours
 *       weir-boot-id          of the kernel when the last process started: ours, Kafka ignores it
 *       weir-topic-checkpoint which topic the rows of Kafka's checkpoints are of (checkpoint.h): ours
 *       <topic>-<n>/          a partition; …-delete: going; …-stray: nobody's; …-future: Kafka's, moving */
#pragma once
#include "base/io.h"
#include "proto/uuid.h"

struct log_dir {
    char *path;
    bool offline;          /* sticky: everything in it answers E_KAFKA_STORAGE_ERROR */
    enum err why;          /* … because of this, */
    const char *doing;     /* while doing this */
    bool full;             /* named state: produce gets E_FULL until space is back */
    int64_t full_retry_ms; /* wall clock: until then nothing is tried */
    int64_t room;          /* bytes that may be appended … */
    int64_t room_until_ms; /* … until then without looking at the disk again */
};

/* meta.properties. E_NOENT: the directory isn't formatted; E_MALFORMED: a line is missing or wrong. */
struct log_meta {
    char cluster_id[64];
    int32_t node_id;
    struct uuid directory_id;
};
enum err log_meta_read(struct io *io, const char *dir, struct log_meta *out);
enum err log_meta_write(struct io *io, const char *dir, const struct log_meta *meta);

enum err log_dir_lock(struct io *io, const char *dir, struct file **out); /* E_BUSY: another process has it */

/* How the last process left this directory, told once at the start, before anything is written. */
struct log_dir_past {
    bool clean;           /* nothing needs a scan */
    bool same_boot;       /* the page cache outlived the process */
    int64_t broker_epoch; /* of a clean stop; -1: none */
};
enum err log_dir_past_read(struct io *io, const char *dir, struct log_dir_past *out);
/* Removes the clean marker, writes the boot id if `past` shows another one: durable. */
enum err log_dir_running(struct io *io, const char *dir, const struct log_dir_past *past);
enum err log_dir_clean(struct io *io, const char *dir, int64_t broker_epoch); /* after all logs are closed */

enum log_dir_kind { LOG_DIR_LIVE, LOG_DIR_DELETE, LOG_DIR_STRAY, LOG_DIR_FUTURE };
/* topic lies in `name` and lives as long. */
typedef void (*log_dir_cb)(void *arg, const char *name, enum log_dir_kind kind, struct slice topic,
                           int32_t partition);
/* Every partition directory, in name order, none opened. */
enum err log_dir_list(struct io *io, const char *dir, log_dir_cb each, void *arg);
/* false: not a partition's name. */
bool log_dir_parse(const char *name, enum log_dir_kind *kind, struct slice *topic, int32_t *partition);
enum err log_dir_stray(struct io *io, const char *dir, const char *name); /* renames to <name>.<uuid>-stray */
enum err log_dir_topic_id(struct io *io, const char *dir, const char *name,
                          struct uuid *out); /* partition.metadata */
