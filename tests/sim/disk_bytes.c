/* The bytes of files: live pages, durable ones, and the changes between them. */
#include "disk_impl.h"
#include <stdlib.h>

enum { PENDING_MAX = 4 << 20 };

static void pages_cut(struct pages *p, size_t n)
{
    for (size_t i = n; i < p->n; i++)
        free(p->v[i]);
    if (n < p->n)
        p->n = n;
}

int64_t pages_used(const struct pages *p)
{
    int64_t n = 0;

    for (size_t i = 0; i < p->n; i++)
        n += p->v[i] != NULL;
    return n * DISK_PAGE;
}

static void pages_resize(struct pages *p, int64_t size)
{
    size_t n = (size_t)((size + DISK_PAGE - 1) / DISK_PAGE);

    ASSERT(size >= 0);
    if (n > p->n) {
        p->v = disk_must(realloc(p->v, n * sizeof(*p->v)));
        p->state = disk_must(realloc(p->state, n));
        memset(p->v + p->n, 0, (n - p->n) * sizeof(*p->v));
        memset(p->state + p->n, PAGE_WRITTEN, n - p->n);
        p->n = n;
    }
    pages_cut(p, n);
    size_t tail = (size_t)(size % DISK_PAGE);
    if (size < p->size && tail && p->v[n - 1])
        memset(p->v[n - 1] + tail, 0, DISK_PAGE - tail);
    p->size = size;
}

/* used and limit: NULL where space doesn't matter. Says how many bytes found room. */
size_t pages_write(struct pages *p, int64_t at, const uint8_t *from, size_t len, int64_t *used, int64_t limit)
{
    size_t done = 0;

    if (len > 0 && at + (int64_t)len > p->size)
        pages_resize(p, at + (int64_t)len);
    while (done < len) {
        size_t i = (size_t)(at / DISK_PAGE), off = (size_t)(at % DISK_PAGE);
        size_t n = DISK_PAGE - off < len - done ? DISK_PAGE - off : len - done;
        if (!p->v[i]) {
            if (used && limit >= 0 && *used + DISK_PAGE > limit)
                break;
            p->v[i] = disk_must(calloc(1, DISK_PAGE));
            if (used)
                *used += DISK_PAGE;
        }
        memcpy(p->v[i] + off, from + done, n);
        if (p->state[i] == PAGE_COLD && n == DISK_PAGE)
            p->state[i] = PAGE_WRITTEN;
        done += n;
        at += (int64_t)n;
    }
    return done;
}

void pages_drop(struct pages *p)
{
    pages_cut(p, 0);
    free(p->v);
    free(p->state);
    *p = (struct pages){0};
}

void pages_copy(struct pages *to, const struct pages *from)
{
    pages_drop(to);
    pages_resize(to, from->size);
    for (size_t i = 0; i < from->n; i++) {
        to->state[i] = PAGE_COLD;
        if (from->v[i])
            memcpy(to->v[i] = disk_must(malloc(DISK_PAGE)), from->v[i], DISK_PAGE);
    }
}

bool inode_is_dir(const struct inode *ino)
{
    return ino->is_dir;
}

int64_t inode_size(const struct inode *ino)
{
    return ino->live.size;
}

size_t inode_read(const struct inode *ino, int64_t at, void *to, size_t len)
{
    const struct pages *p = &ino->live;
    size_t done = 0;

    ASSERT(at >= 0);
    while (done < len && at < p->size) {
        size_t i = (size_t)(at / DISK_PAGE), off = (size_t)(at % DISK_PAGE);
        size_t n = DISK_PAGE - off < len - done ? DISK_PAGE - off : len - done;
        if ((int64_t)n > p->size - at)
            n = (size_t)(p->size - at);
        if (p->v[i])
            memcpy((uint8_t *)to + done, p->v[i] + off, n);
        else
            memset((uint8_t *)to + done, 0, n);
        done += n;
        at += (int64_t)n;
    }
    return done;
}

static struct change *change_add(struct inode *ino, int64_t at, size_t len)
{
    struct change *c = disk_must(calloc(1, sizeof(*c)));

    *c = (struct change){.seq = ++ino->seq, .at = at, .len = len};
    *ino->last = c;
    ino->last = &c->next;
    ino->pending += len;
    return c;
}

void change_free(struct change *c)
{
    free(c->p);
    free(c);
}

struct change *change_take(struct inode *ino)
{
    struct change *c = ino->first;

    ino->first = c->next;
    if (!ino->first)
        ino->last = &ino->first;
    ino->pending -= c->len;
    return c;
}

void change_apply(struct inode *ino, const struct change *c)
{
    if (c->p)
        ASSERT(pages_write(&ino->durable, c->at, c->p, c->len, NULL, -1) == c->len);
    else
        pages_resize(&ino->durable, c->at);
}

size_t inode_write(struct disk *d, struct inode *ino, int64_t at, struct slice bytes)
{
    int64_t size = ino->live.size;
    size_t n;

    ASSERT(at >= 0 && !ino->is_dir);
    if (bytes.len == 0)
        return 0;
    if (d->limit >= 0 && d->used + (int64_t)bytes.len + 2 * DISK_PAGE > d->limit)
        disk_collect(d);
    n = pages_write(&ino->live, at, bytes.p, bytes.len, &d->used, d->limit);
    if (n < bytes.len) /* what found no room wasn't appended */
        pages_resize(&ino->live, size > at + (int64_t)n ? size : n > 0 ? at + (int64_t)n : size);
    if (n == 0)
        return 0;
    struct change *c = change_add(ino, at, n);
    memcpy(c->p = disk_must(malloc(n)), bytes.p, n);
    while (ino->pending > PENDING_MAX) { /* the kernel writes back by itself at some time */
        c = change_take(ino);
        change_apply(ino, c);
        change_free(c);
    }
    return n;
}

void inode_resize(struct disk *d, struct inode *ino, int64_t size)
{
    int64_t before = pages_used(&ino->live);

    ASSERT(!ino->is_dir);
    pages_resize(&ino->live, size);
    d->used -= before - pages_used(&ino->live);
    change_add(ino, size, 0);
}

enum page_state inode_page(const struct inode *ino, int64_t at)
{
    size_t i = (size_t)(at / DISK_PAGE);

    return i < ino->live.n ? (enum page_state)ino->live.state[i] : PAGE_WARM;
}

void inode_page_set(struct inode *ino, int64_t at, size_t len, enum page_state st)
{
    size_t i = (size_t)(at / DISK_PAGE);

    for (; i < ino->live.n && (int64_t)i * DISK_PAGE < at + (int64_t)len; i++)
        ino->live.state[i] = (uint8_t)st;
}

static void pages_flip(struct pages *p, int64_t at, uint8_t bits)
{
    uint8_t b = 0;

    if (at >= p->size)
        return;
    if (p->v[at / DISK_PAGE])
        b = p->v[at / DISK_PAGE][at % DISK_PAGE];
    b ^= bits;
    ASSERT(pages_write(p, at, &b, 1, NULL, -1) == 1);
}

void inode_flip(struct inode *ino, int64_t at, uint8_t bits)
{
    ASSERT(at < ino->live.size);
    pages_flip(&ino->live, at, bits);
    pages_flip(&ino->durable, at, bits);
}

uint64_t inode_mark(const struct inode *ino)
{
    return ino->seq;
}

void inode_sync(struct inode *ino, uint64_t mark)
{
    while (ino->first && ino->first->seq <= mark) {
        struct change *c = change_take(ino);
        change_apply(ino, c);
        change_free(c);
    }
}

void inode_write_back(struct inode *ino, struct chance *c)
{
    while (ino->first && chance_below(c, 4) != 0)
        inode_sync(ino, ino->first->seq);
}

void inode_sync_failed(struct inode *ino, struct chance *c)
{
    ino->failed = true;
    while (ino->first) {
        struct change *ch = change_take(ino);
        if (chance_below(c, 2))
            change_apply(ino, ch);
        change_free(ch);
    }
}

void inode_open(struct inode *ino)
{
    ino->opens++;
}

void inode_close(struct inode *ino)
{
    ASSERT(ino->opens > 0);
    if (--ino->opens == 0)
        ino->failed = false;
}

bool inode_failed(const struct inode *ino)
{
    return ino->failed;
}

bool inode_locked(const struct inode *ino)
{
    return ino->locked;
}

void inode_lock(struct inode *ino, bool on)
{
    ino->locked = on;
}
