#include "fetch_session.h"
#include "base/check.h"
#include "metadata/topic_name.h"

struct fetch_sessions {
    struct heap *heap;
    uint64_t seed;
    int slots;
    int64_t eviction_ms;
    struct map by_id;
    struct list lru;    /* longest unused first */
    int64_t partitions; /* in all sessions */
};

struct fetch_sessions *fetch_sessions_new(struct heap *h, uint64_t seed, int slots, int64_t eviction_ms)
{
    struct fetch_sessions *s = heap_alloc(h, sizeof(*s));

    s->heap = h;
    s->seed = seed;
    s->slots = slots;
    s->eviction_ms = eviction_ms;
    map_init(&s->by_id, h, seed);
    list_init(&s->lru);
    return s;
}

static struct slice id_key(const int32_t *id)
{
    return slice_of(id, sizeof(*id));
}

static void wish_free(struct fetch_sessions *s, struct fetch_session *session, struct fetch_wish *w)
{
    map_remove(&session->wishes, w->key);
    list_remove(&w->link);
    heap_free(s->heap, w);
    s->partitions--;
}

static void session_free(struct fetch_sessions *s, struct fetch_session *session)
{
    ASSERT(!session->busy);
    list_each_safe (it, &session->order)
        wish_free(s, session, container_of(it, struct fetch_wish, link));
    map_drop(&session->wishes);
    map_remove(&s->by_id, id_key(&session->id));
    list_remove(&session->lru);
    heap_free(s->heap, session);
}

void fetch_sessions_drop(struct fetch_sessions *s)
{
    list_each_safe (it, &s->lru) {
        struct fetch_session *session = container_of(it, struct fetch_session, lru);
        session->busy = false;
        session_free(s, session);
    }
    map_drop(&s->by_id);
    heap_free(s->heap, s);
}

int fetch_sessions_count(const struct fetch_sessions *s)
{
    return (int)s->by_id.count;
}

void fetch_wish_of(const struct FetchRequest_FetchTopic *topic, const struct FetchRequest_FetchPartition *p,
                   struct fetch_wish *out)
{
    *out = (struct fetch_wish){.topic_id = topic->topic_id,
                               .topic = topic->topic,
                               .partition = p->partition,
                               .leader_epoch = p->current_leader_epoch < 0 ? -1 : p->current_leader_epoch,
                               .last_fetched_epoch = p->last_fetched_epoch,
                               .max_bytes = p->partition_max_bytes,
                               .offset = p->fetch_offset,
                               .hw = -1,
                               .log_start = -1};
    list_init(&out->link);
}

/* The key is made in the caller's buffer: 16 bytes of id or the name, and 4 of the index. */
static struct slice wish_key(uint8_t *buf, bool by_id, struct uuid id, struct slice topic, int32_t partition)
{
    size_t len = by_id ? sizeof(id.b) : topic.len;

    if (len > 0)
        memcpy(buf, by_id ? id.b : topic.p, len);
    memcpy(buf + len, &partition, sizeof(partition));
    return slice_of(buf, len + sizeof(partition));
}

/* Names longer than any topic's can't be in the image: they are told so from the request, never kept. */
static void wish_put(struct fetch_sessions *s, struct fetch_session *session,
                     const struct FetchRequest_FetchTopic *t, const struct FetchRequest_FetchPartition *p)
{
    uint8_t buf[TOPIC_NAME_MAX + sizeof(int32_t)];
    struct fetch_wish now, *w;
    struct slice key;

    if (t->topic.len > TOPIC_NAME_MAX)
        return;
    fetch_wish_of(t, p, &now);
    key = wish_key(buf, session->by_id, now.topic_id, now.topic, now.partition);
    w = map_get(&session->wishes, key);
    if (!w) {
        w = heap_alloc(s->heap, sizeof(*w) + key.len);
        *w = now;
        w->key = slice_of(w + 1, key.len);
        memcpy(w->key.p, key.p, key.len);
        w->topic = slice_of(w->key.p, session->by_id ? 0 : now.topic.len);
        list_init(&w->link);
        list_add(&session->order, &w->link);
        map_put(&session->wishes, w->key, w);
        s->partitions++;
        return;
    }
    w->leader_epoch = now.leader_epoch;
    w->last_fetched_epoch = now.last_fetched_epoch;
    w->max_bytes = now.max_bytes;
    w->offset = now.offset;
}

static void wishes_put(struct fetch_sessions *s, struct fetch_session *session, const struct FetchRequest *in)
{
    for (int32_t i = 0; i < in->topics.n; i++)
        for (int32_t j = 0; j < in->topics.v[i].partitions.n; j++)
            wish_put(s, session, &in->topics.v[i], &in->topics.v[i].partitions.v[j]);
}

static void wishes_forget(struct fetch_sessions *s, struct fetch_session *session,
                          const struct FetchRequest *in)
{
    uint8_t buf[TOPIC_NAME_MAX + sizeof(int32_t)];

    for (int32_t i = 0; i < in->forgotten_topics_data.n; i++) {
        const struct FetchRequest_ForgottenTopic *t = &in->forgotten_topics_data.v[i];
        if (t->topic.len > TOPIC_NAME_MAX)
            continue;
        for (int32_t j = 0; j < t->partitions.n; j++) {
            struct slice key = wish_key(buf, session->by_id, t->topic_id, t->topic, t->partitions.v[j]);
            struct fetch_wish *w = map_get(&session->wishes, key);
            if (w)
                wish_free(s, session, w);
        }
    }
}

static int64_t partitions_in(const struct FetchRequest *in)
{
    int64_t n = 0;

    for (int32_t i = 0; i < in->topics.n; i++)
        n += in->topics.v[i].partitions.n;
    return n;
}

/* A place for one more: free, or that of a session which nobody has used for a while. */
static bool room_for(struct fetch_sessions *s, int64_t partitions, int64_t now_ms)
{
    struct fetch_session *oldest = list_first(&s->lru, struct fetch_session, lru);

    if (partitions == 0 || s->slots == 0)
        return false;
    if ((int)s->by_id.count >= s->slots && oldest && !oldest->busy &&
        now_ms - oldest->used_ms > s->eviction_ms)
        session_free(s, oldest);
    return (int)s->by_id.count < s->slots && s->partitions + partitions <= FETCH_SESSION_PARTITIONS_MAX;
}

static struct fetch_session *session_new(struct fetch_sessions *s, int32_t id, bool by_id, int64_t now_ms)
{
    struct fetch_session *session = heap_alloc(s->heap, sizeof(*session));

    session->id = id;
    session->epoch = 1;
    session->by_id = by_id;
    session->used_ms = now_ms;
    list_init(&session->order);
    list_init(&session->lru);
    map_init(&session->wishes, s->heap, s->seed);
    map_put(&s->by_id, id_key(&session->id), session);
    list_add(&s->lru, &session->lru);
    return session;
}

static enum err session_begin(struct fetch_sessions *s, const struct FetchRequest *in, int version,
                              int32_t new_id, int64_t now_ms, struct fetch_session **out)
{
    struct fetch_session *old = map_get(&s->by_id, id_key(&in->session_id));

    if (old && !old->busy)
        session_free(s, old);
    if (in->session_epoch == FETCH_SESSION_FINAL || !room_for(s, partitions_in(in), now_ms) ||
        map_get(&s->by_id, id_key(&new_id)))
        return E_OK;
    *out = session_new(s, new_id, version >= 13, now_ms);
    wishes_put(s, *out, in);
    (*out)->busy = true;
    return E_OK;
}

enum err fetch_session_open(struct fetch_sessions *s, const struct FetchRequest *in, int version,
                            int32_t new_id, int64_t now_ms, struct fetch_session **out)
{
    struct fetch_session *session;

    *out = NULL;
    if (in->session_epoch == FETCH_SESSION_FINAL || in->session_epoch == FETCH_SESSION_INITIAL)
        return session_begin(s, in, version, new_id, now_ms, out);
    session = map_get(&s->by_id, id_key(&in->session_id));
    if (!session)
        return E_FETCH_SESSION_ID_NOT_FOUND;
    if (session->epoch != in->session_epoch || session->busy)
        return E_INVALID_FETCH_SESSION_EPOCH;
    if (session->by_id != (version >= 13))
        return E_FETCH_SESSION_TOPIC_ID_ERROR;
    if (s->partitions + partitions_in(in) > FETCH_SESSION_PARTITIONS_MAX) {
        session_free(s, session);
        return E_FETCH_SESSION_ID_NOT_FOUND;
    }
    wishes_forget(s, session, in);
    wishes_put(s, session, in);
    session->epoch = session->epoch == INT32_MAX ? 1 : session->epoch + 1;
    session->used_ms = now_ms;
    list_remove(&session->lru);
    list_add(&s->lru, &session->lru);
    session->busy = true;
    *out = session;
    return E_OK;
}

void fetch_session_close(struct fetch_sessions *s, struct fetch_session *session)
{
    ASSERT(session->busy);
    session->busy = false;
    if (session->wishes.count == 0)
        session_free(s, session);
}

bool fetch_wish_tell(struct fetch_session *session, struct fetch_wish *w, int16_t error, int64_t hw,
                     int64_t log_start, bool has_records, bool diverging)
{
    bool tell = !session || !w->told || error != 0 || has_records || diverging || w->hw != hw ||
                w->log_start != log_start;

    w->hw = hw;
    w->log_start = log_start;
    w->told = error == 0; /* after an error it is told again, whatever it is */
    if (session && has_records) {
        list_remove(&w->link);
        list_add(&session->order, &w->link);
    }
    return tell;
}
