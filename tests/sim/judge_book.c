#include "judge_book.h"
#include "proto/batch.h"
#include "scenario.h"
#include <stdio.h>
#include <stdlib.h>

enum { OFFSETS_MAX = 1 << 18 };

/* ---- numbers and values ---- */

void book_init(struct book *b, const char *topic, int partition)
{
    *b = (struct book){.partition = partition};
    snprintf(b->topic, sizeof(b->topic), "%s", topic);
}

void book_drop(struct book *b)
{
    free(b->at);
    free(b->kept);
    free(b->where);
    free(b->when);
}

static void *grown(void *p, size_t from, size_t to)
{
    p = realloc(p, to);
    memset((char *)p + from, 0, to - from);
    return p;
}

uint32_t book_number(struct book *b)
{
    uint32_t number = ++b->numbers;

    if (number >= b->numbers_room) {
        uint32_t room = b->numbers_room ? 2 * b->numbers_room : 1024;
        b->where = grown(b->where, b->numbers_room * sizeof(*b->where), room * sizeof(*b->where));
        b->numbers_room = room;
    }
    return number;
}

size_t book_value(const struct book *b, uint32_t number, uint8_t *to, size_t room)
{
    uint32_t h = number * 2654435761u;
    size_t len = (size_t)snprintf((char *)to, room, "%s-%d:%u;", b->topic, b->partition, number);
    size_t fill = h >> 27 ? h >> 26 : h >> 20 & 0xfff; /* a few are large */

    if (fill > room - len)
        fill = room - len;
    for (size_t i = 0; i < fill; i++)
        to[len + i] = (uint8_t)(h >> (i % 4 * 8)) ^ (uint8_t)i;
    return len + fill;
}

uint32_t book_number_of(const struct book *b, struct slice value)
{
    uint8_t want[BOOK_VALUE_MAX];
    unsigned number = 0;
    char text[64], topic[16];
    int partition = -1;

    snprintf(text, sizeof(text), "%.*s", (int)(value.len < 60 ? value.len : 60), (const char *)value.p);
    JUDGE(sscanf(text, "%15[^-]-%d:%u;", topic, &partition, &number) == 3, "a value that nobody sent");
    JUDGE(strcmp(topic, b->topic) == 0 && partition == b->partition && number >= 1 && number <= b->numbers,
          "%s-%d holds a record of %s-%d, number %u of %u", b->topic, b->partition, topic, partition, number,
          b->numbers);
    JUDGE(slice_eq(value, slice_of(want, book_value(b, number, want, sizeof(want)))),
          "%s-%d: number %u is damaged", b->topic, b->partition, number);
    return number;
}

void book_met(struct book *b, int64_t offset, uint32_t number, enum promise how)
{
    JUDGE(offset >= 0 && offset < OFFSETS_MAX, "offset %lld", (long long)offset);
    if (offset >= b->offsets_room) {
        int64_t room = b->offsets_room ? b->offsets_room : 1024;
        while (room <= offset)
            room *= 2;
        b->at = grown(b->at, (size_t)b->offsets_room * sizeof(*b->at), (size_t)room * sizeof(*b->at));
        b->kept = grown(b->kept, (size_t)b->offsets_room, (size_t)room);
        b->when = grown(b->when, (size_t)b->offsets_room * sizeof(*b->when), (size_t)room * sizeof(*b->when));
        b->offsets_room = room;
    }
    JUDGE(b->at[offset] == 0 || b->at[offset] == number, "%s-%d: offset %lld held number %u, now %u",
          b->topic, b->partition, (long long)offset, b->at[offset], number);
    JUDGE(b->where[number] == 0 || b->where[number] == offset + 1, "%s-%d: number %u is at %lld and at %lld",
          b->topic, b->partition, number, (long long)b->where[number] - 1, (long long)offset);
    b->at[offset] = number;
    b->where[number] = offset + 1;
    if (b->kept[offset] < how)
        b->kept[offset] = (uint8_t)how;
    if (how != SUPPOSED && offset >= b->promised_end)
        b->promised_end = offset + 1;
}

/* ---- times ---- */

static void claim_judge(const struct book *b, const struct claim *c, int64_t offset)
{
    JUDGE(offset >= c->below || book_time(b, offset) < c->time,
          "%s-%d: %lld is of %lld, and ListOffsets said that none below %lld is of %lld or later", b->topic,
          b->partition, (long long)offset, (long long)book_time(b, offset), (long long)c->below,
          (long long)c->time);
}

int64_t book_time(const struct book *b, int64_t offset)
{
    return offset < b->offsets_room ? b->when[offset] - 1 : -1;
}

void book_timed(struct book *b, int64_t offset, int64_t timestamp)
{
    int n = b->n_claims < CLAIMS_MAX ? b->n_claims : CLAIMS_MAX;

    JUDGE(b->when[offset] == 0 || b->when[offset] == timestamp + 1, "%s-%d: %lld was of %lld, now %lld",
          b->topic, b->partition, (long long)offset, (long long)b->when[offset] - 1, (long long)timestamp);
    if (b->when[offset])
        return;
    b->when[offset] = timestamp + 1;
    for (int i = 0; i < n; i++)
        claim_judge(b, &b->claims[i], offset);
}

void book_claim(struct book *b, int64_t time, int64_t below)
{
    struct claim *c = &b->claims[b->n_claims++ % CLAIMS_MAX];

    *c = (struct claim){time, below};
    for (int64_t o = 0; o < below && o < b->offsets_room; o++)
        claim_judge(b, c, o);
}

/* ---- the disk ---- */

struct reading {
    struct book *b;
    struct sim *s;
    int node;
    char dir[64];
    struct heap *heap;
    int64_t first; /* the first segment's base offset; -1: no segment yet */
    int64_t end;   /* behind what is whole; -1: nothing yet */
    bool over;     /* something was torn: what follows doesn't count */
    bool *torn;
    uint8_t *on_disk; /* by offset */
};

static void batch_judge(struct reading *r, const struct batch_view *v)
{
    struct record_iter it;
    struct record rec;

    record_iter_open(&it, r->heap, NULL, v, 1 << 20);
    while (record_next(&it, &rec) == E_OK) {
        book_met(r->b, rec.offset, book_number_of(r->b, rec.value), SUPPOSED);
        book_timed(r->b, rec.offset, rec.timestamp);
        r->on_disk[rec.offset] = 1;
    }
    record_iter_close(&it);
}

static void segment_judge(struct reading *r, const char *path, int64_t size)
{
    uint8_t *p = malloc((size_t)size + 1);
    struct slice rest = slice_of(p, (size_t)size);
    struct batch_view v;
    size_t got;

    JUDGE(sim_file_read(r->s, r->node, path, 0, p, (size_t)size, &got) == E_OK, "%s is unreadable", path);
    while (!r->over && rest.len > 0) {
        struct batch_view ahead = {.base_offset = -1};
        if (batch_view(rest, &ahead) != E_OK || !batch_crc_ok(&ahead) ||
            (r->end >= 0 && ahead.base_offset != r->end)) {
            sim_note(r->s, "torn at %lld of %lld in %s: %lld comes, %lld is due",
                     (long long)(size - (int64_t)rest.len), (long long)size, path,
                     (long long)ahead.base_offset, (long long)r->end);
            r->over = true;
            *r->torn = true;
            break;
        }
        JUDGE(batch_next(&rest, &v) == E_OK && v.last_offset < OFFSETS_MAX, "%s", path);
        batch_judge(r, &v);
        r->end = v.last_offset + 1;
    }
    free(p);
}

static void found(void *arg, const char *path, bool is_dir, int64_t size)
{
    struct reading *r = arg;
    size_t len = strlen(path);

    if (is_dir || len < 24 || strcmp(path + len - 4, ".log") != 0)
        return;
    if (r->first < 0) /* an empty one counts: where it begins, the log's own records begin */
        r->first = r->end = strtoll(path + len - 24, NULL, 10);
    segment_judge(r, path, size);
}

static void lost(struct book *b, int64_t offset, bool power)
{
    enum promise least = power ? PROMISED_DURABLE : PROMISED;

    JUDGE(b->kept[offset] < least, "%s-%d: offset %lld (number %u) was %s and is lost in a crash of the %s",
          b->topic, b->partition, (long long)offset, b->at[offset], power ? "durable" : "promised",
          power ? "power" : "process");
    b->where[b->at[offset]] = 0;
    b->at[offset] = 0;
    b->kept[offset] = 0;
    b->when[offset] = 0;
}

int64_t book_judge_disk(struct book *b, struct sim *s, int node, int n_dirs, bool power, bool *torn)
{
    struct reading r = {.b = b, .s = s, .node = node, .first = -1, .end = -1, .torn = torn};

    *torn = false;
    b->n_claims = 0; /* what nobody was promised may be another record now */
    r.heap = heap_new(false);
    r.on_disk = calloc(1, OFFSETS_MAX);
    for (int i = 0; i < n_dirs; i++) {
        snprintf(r.dir, sizeof(r.dir), "/data/%d/%s-%d", i, b->topic, b->partition);
        sim_files(s, node, r.dir, found, &r);
    }
    for (int64_t o = 0; o < b->offsets_room; o++)
        if (b->at[o] && !r.on_disk[o] && !(b->trimmed && o < r.first))
            lost(b, o, power);
    b->promised_end = 0;
    for (int64_t o = 0; o < b->offsets_room; o++)
        if (b->kept[o] != SUPPOSED)
            b->promised_end = o + 1;
    if (power)
        b->era++;
    free(r.on_disk);
    heap_drop(r.heap);
    return r.end < 0 ? 0 : r.end;
}
