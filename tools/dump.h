/* dump: what lies in the files of a log, in the lines of Kafka's DumpLogSegments.
 * Loop:   the main thread, before any loop.
 * Memory: of one batch, and one index. Files are read in pieces. */
#pragma once
#include "metadata/record.h"
#include "proto/batch.h"
#include "tools/tool.h"

enum dump_decoder { DUMP_STRINGS, DUMP_METADATA, DUMP_OFFSETS, DUMP_TRANSACTIONS, DUMP_SHARE };

struct dump {
    struct tool *t;
    bool deep, data, skip_metadata; /* records too; their keys and values; nothing but those */
    bool verify, sanity;            /* of indexes: only what is wrong; only whether they are whole */
    enum dump_decoder decoder;
    int64_t max_bytes; /* of a log */
    size_t max_record;
    struct codec_cache *codecs;
    struct arena arena; /* of one batch */
    int faults;         /* found: the exit code says so */
};

/* A log file, batch after batch. */
struct dump_reader {
    struct heap *heap;
    struct file *file;
    int64_t size;
    size_t batch_max; /* a longer one is E_NOMEM; 0: no limit */
    struct bytes buf; /* the file's bytes from buf_at on */
    int64_t buf_at;
};
/* `end`: as if the file ended there. */
enum err dump_open(struct dump *d, struct dump_reader *r, const char *path, int64_t end);
/* The batch at `at`, lent until the next call. E_EOF at the end; E_TRUNCATED, E_CORRUPT_MESSAGE: no batch begins there. */
enum err dump_batch(struct dump_reader *r, int64_t at, struct batch_view *v);
void dump_close(struct dump_reader *r);

void dump_log(struct dump *d, const char *path);
void dump_index(struct dump *d, const char *path);
void dump_timeindex(struct dump *d, const char *path);
void dump_txnindex(struct dump *d, const char *path);
void dump_snapshot(struct dump *d, const char *path);

/* What was found wrong: a sentence to stderr. */
void dump_fault(struct dump *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Key and value as the decoder reads them, behind " key: " and " payload: ". */
void dump_payload(struct dump *d, const struct record *r, struct bytes *out);
void dump_control(struct slice key, struct slice value, struct arena *a,
                  struct bytes *out); /* a control record, behind a blank */
/* A metadata record as JSON, type and content, ours or Kafka's; of ours, the content alone. */
void dump_metadata(struct arena *a, struct slice value, struct bytes *out);
void dump_record_data(const struct meta_record *r, struct bytes *out);
