/* What is known of one partition, from clients' histories and from the bytes on its disk, and whether it can be true.
 * Every record's value is a number, unique in its partition, with bytes that follow from it.
 * Always: an offset has one content; a number has one offset; what was promised (answered, or shown to a reader) is on
 *         the disk after a crash of the process, and after one of the power if it was promised as durable; a record keeps
 *         its time, and none that was ever read is younger than what ListOffsets said of those before its answer.
 * A disagreement ends the process by JUDGE(). */
#pragma once
#include "base/mem.h"
#include "tests/sim/sim.h"

enum promise { SUPPOSED, PROMISED, PROMISED_DURABLE };
enum { CLAIMS_MAX = 64 };

/* What ListOffsets said of a time: no record below this offset is as young. */
struct claim {
    int64_t time;
    int64_t below;
};

struct book {
    char topic[16];
    int partition;
    bool durable;     /* what is promised now survives the power */
    bool trimmed;     /* records are deleted on purpose: the front may be missing */
    bool stamped;     /* records have the server's time: LogAppendTime */
    int era;          /* crashes of the power that may have taken unpromised ends */
    uint32_t numbers; /* given out so far; the first is 1 */
    uint32_t *at;     /* by offset: number, 0 unknown */
    uint8_t *kept;    /* by offset: enum promise */
    int64_t *where;   /* by number: offset + 1 */
    int64_t *when;    /* by offset: timestamp + 1, 0 unknown */
    struct claim claims[CLAIMS_MAX];
    int n_claims; /* since the last crash; the newest CLAIMS_MAX are kept */
    int64_t offsets_room;
    uint32_t numbers_room;
    int64_t promised_end; /* behind the last promised offset */
};

void book_init(struct book *b, const char *topic, int partition);
void book_drop(struct book *b);
uint32_t book_number(struct book *b); /* a new one */
/* The value of a number: text and filler, from 20 to some thousand bytes. */
size_t book_value(const struct book *b, uint32_t number, uint8_t *to, size_t room);
enum { BOOK_VALUE_MAX = 4096 };
uint32_t book_number_of(const struct book *b, struct slice value); /* judges every byte of it */
void book_met(struct book *b, int64_t offset, uint32_t number, enum promise how);
void book_timed(struct book *b, int64_t offset, int64_t timestamp); /* of a record that was met */
int64_t book_time(const struct book *b, int64_t offset);            /* -1: not read yet */
/* No record below `below` has this time or a later one. */
void book_claim(struct book *b, int64_t time, int64_t below);
/* After a crash, before the next start: reads the partition's segments in every /data/<n>. Returns the log's end.
 * torn: there were bytes behind it. */
int64_t book_judge_disk(struct book *b, struct sim *s, int node, int n_dirs, bool power, bool *torn);
