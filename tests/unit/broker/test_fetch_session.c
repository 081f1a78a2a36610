/* Incremental fetch sessions, as KIP-227 and Kafka's FetchManager have them. */
#include "base/check.h"
#include "broker/api/fetch_session.h"
#include "tests/check.h"

struct rig {
    struct heap *heap;
    struct fetch_sessions *sessions;
    struct FetchRequest request;
    struct FetchRequest_FetchTopic topic;
    struct FetchRequest_FetchPartition parts[8];
    struct FetchRequest_ForgottenTopic forgotten;
    int32_t forgotten_parts[8];
};

static void rig_init(struct rig *g, int slots)
{
    memset(g, 0, sizeof(*g));
    g->heap = heap_new(true);
    g->sessions = fetch_sessions_new(g->heap, 7, slots, 1000);
}

static void rig_end(struct rig *g)
{
    fetch_sessions_drop(g->sessions);
    CHECK_EQ(heap_used(g->heap), 0);
    heap_drop(g->heap);
}

/* A request for partitions 0 .. n-1 of topic "t" from `offset`. */
static struct FetchRequest *ask(struct rig *g, int32_t id, int32_t epoch, int n, int64_t offset)
{
    g->topic.topic = SLICE("t");
    g->topic.partitions.v = g->parts;
    g->topic.partitions.n = n;
    for (int i = 0; i < n; i++)
        g->parts[i] = (struct FetchRequest_FetchPartition){.partition = i,
                                                           .fetch_offset = offset,
                                                           .partition_max_bytes = 100,
                                                           .current_leader_epoch = -1,
                                                           .last_fetched_epoch = -1};
    g->request = (struct FetchRequest){.session_id = id, .session_epoch = epoch};
    g->request.topics.v = &g->topic;
    g->request.topics.n = n > 0;
    return &g->request;
}

static struct fetch_session *begin(struct rig *g, int32_t id, int n)
{
    struct fetch_session *s;
    CHECK_OK(fetch_session_open(g->sessions, ask(g, 0, FETCH_SESSION_INITIAL, n, 5), 12, id, 0, &s));
    CHECK(s && s->id == id);
    fetch_session_close(g->sessions, s);
    return s;
}

/* The first request of a session names its partitions; the next, empty one fetches the same. */
TEST(fetch_session, remembers_what_it_was_asked_for)
{
    struct rig g;
    struct fetch_session *s;
    rig_init(&g, 4);
    begin(&g, 11, 3);
    CHECK_OK(fetch_session_open(g.sessions, ask(&g, 11, 1, 0, 0), 12, 99, 1, &s));
    CHECK_EQ(s->wishes.count, 3);
    CHECK_EQ(container_of(s->order.next, struct fetch_wish, link)->offset, 5);
    fetch_session_close(g.sessions, s);
    rig_end(&g);
}

/* A request out of turn, or for a session that isn't there, is refused and changes nothing. */
TEST(fetch_session, refuses_wrong_epochs_and_unknown_ids)
{
    struct rig g;
    struct fetch_session *s;
    rig_init(&g, 4);
    begin(&g, 11, 1);
    CHECK(fetch_session_open(g.sessions, ask(&g, 11, 2, 0, 0), 12, 99, 1, &s) ==
          E_INVALID_FETCH_SESSION_EPOCH);
    CHECK(fetch_session_open(g.sessions, ask(&g, 12, 1, 0, 0), 12, 99, 1, &s) ==
          E_FETCH_SESSION_ID_NOT_FOUND);
    CHECK(fetch_session_open(g.sessions, ask(&g, 11, 1, 0, 0), 13, 99, 1, &s) ==
          E_FETCH_SESSION_TOPIC_ID_ERROR);
    CHECK_OK(fetch_session_open(g.sessions, ask(&g, 11, 1, 0, 0), 12, 99, 1, &s));
    fetch_session_close(g.sessions, s);
    rig_end(&g);
}

/* Partitions can be added, changed and forgotten in any request; a session without any ends. */
TEST(fetch_session, adds_changes_and_forgets)
{
    struct rig g;
    struct fetch_session *s;
    struct FetchRequest *in;
    rig_init(&g, 4);
    begin(&g, 11, 2);
    in = ask(&g, 11, 1, 3, 9);
    CHECK_OK(fetch_session_open(g.sessions, in, 12, 99, 1, &s));
    CHECK_EQ(s->wishes.count, 3);
    CHECK_EQ(container_of(s->order.next, struct fetch_wish, link)->offset, 9);
    fetch_session_close(g.sessions, s);
    in = ask(&g, 11, 2, 0, 0);
    g.forgotten.topic = SLICE("t");
    g.forgotten.partitions.v = g.forgotten_parts;
    for (int i = 0; i < 3; i++)
        g.forgotten_parts[i] = i;
    g.forgotten.partitions.n = 3;
    in->forgotten_topics_data.v = &g.forgotten;
    in->forgotten_topics_data.n = 1;
    CHECK_OK(fetch_session_open(g.sessions, in, 12, 99, 1, &s));
    CHECK_EQ(s->wishes.count, 0);
    fetch_session_close(g.sessions, s);
    CHECK_EQ(fetch_sessions_count(g.sessions), 0);
    rig_end(&g);
}

/* What a client was told already is left out, unless it changed, has records or failed. */
TEST(fetch_session, tells_only_what_changed)
{
    struct rig g;
    struct fetch_session *s;
    struct fetch_wish *w;
    rig_init(&g, 4);
    s = begin(&g, 11, 2);
    w = container_of(s->order.next, struct fetch_wish, link);
    CHECK(fetch_wish_tell(s, w, 0, 5, 0, false, false));
    CHECK(!fetch_wish_tell(s, w, 0, 5, 0, false, false));
    CHECK(fetch_wish_tell(s, w, 0, 6, 0, false, false));
    CHECK(fetch_wish_tell(s, w, 0, 6, 1, false, false));
    CHECK(fetch_wish_tell(s, w, 3, 6, 1, false, false));
    CHECK(fetch_wish_tell(s, w, 0, 6, 1, false, false));
    CHECK(fetch_wish_tell(s, w, 0, 6, 1, true, false));
    CHECK(container_of(s->order.prev, struct fetch_wish, link) == w);
    rig_end(&g);
}

/* With all places taken a new client is answered without a session, until an old one has been idle long enough. */
TEST(fetch_session, evicts_only_what_is_idle)
{
    struct rig g;
    struct fetch_session *s;
    rig_init(&g, 1);
    begin(&g, 11, 1);
    CHECK_OK(fetch_session_open(g.sessions, ask(&g, 0, 0, 1, 0), 12, 12, 1000, &s));
    CHECK(s == NULL);
    CHECK_OK(fetch_session_open(g.sessions, ask(&g, 0, 0, 1, 0), 12, 12, 1001, &s));
    CHECK(s && s->id == 12);
    CHECK_EQ(fetch_sessions_count(g.sessions), 1);
    fetch_session_close(g.sessions, s);
    rig_end(&g);
}
