#include "net_world.h"
#include "proto/bigend.h"

static void hold_frames(struct bytes *to, int n, size_t topic_bytes)
{
    for (int i = 0; i < n; i++)
        frame_metadata(to, 100 + i, topic_bytes);
}

static void send_frames(struct raw *r, int n, size_t topic_bytes)
{
    struct bytes b;

    bytes_init(&b, r->heap);
    hold_frames(&b, n, topic_bytes);
    raw_send(r, b.p, b.len);
    bytes_drop(&b);
}

static void versions_frame(struct bytes *to, int version, int32_t correlation)
{
    struct ApiVersionsRequest m;

    proto_defaults(&ApiVersionsRequest_type, &m);
    m.client_software_name = SLICE("kcat");
    m.client_software_version = SLICE("1.7");
    frame_add(to, API_ApiVersions, version, correlation, &m);
}

/* A request is answered whatever pieces its bytes come in. */
TEST(net, one_byte_at_a_time)
{
    struct net_world *w = nw_new(1);
    struct raw *r = raw_dial(w, 2);
    struct bytes b;

    bytes_init(&b, r->heap);
    for (int version = 0; version <= 2; version++)
        versions_frame(&b, version, 40 + version);
    for (size_t i = 0; i < b.len; i++) {
        raw_send(r, b.p + i, 1);
        nw_run(w, 1);
    }
    CHECK_EQ(raw_answers(r), 3);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(raw_correlation(r, i), 40 + i);
    bytes_drop(&b);
    raw_free(r);
    nw_drop(w);
}

/* Answers leave in the order of the requests, whatever order they are ready in. */
TEST(net, answers_keep_the_order_of_requests)
{
    struct net_world *w = nw_new(2);
    struct raw *r = raw_dial(w, 2);

    send_frames(r, 5, 3);
    nw_run(w, 10);
    CHECK_EQ(w->n_held, 5);
    for (int i = 4; i > 0; i--)
        nw_reply(w, i);
    nw_run(w, 10);
    CHECK_EQ(raw_answers(r), 0);
    nw_reply(w, 0);
    nw_run(w, 10);
    CHECK_EQ(raw_answers(r), 5);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(raw_correlation(r, i), 100 + i);
    raw_free(r);
    nw_drop(w);
}

/* A request that asks for no answer leaves no gap in those that follow. */
TEST(net, skipped_requests_leave_no_gap)
{
    struct net_world *w = nw_new(3);
    struct raw *r = raw_dial(w, 2);

    send_frames(r, 3, 3);
    nw_run(w, 10);
    nw_reply(w, 2);
    nw_reply(w, 0);
    nw_skip(w, 1);
    nw_run(w, 10);
    CHECK_EQ(raw_answers(r), 2);
    CHECK_EQ(raw_correlation(r, 1), 102);
    raw_free(r);
    nw_drop(w);
}

/* A large frame's memory serves the next one, and goes back when a loop has no connection left. */
TEST(net, memory_of_large_frames_is_kept_for_the_next)
{
    struct net_world *w = nw_new(40);
    struct raw *r = raw_dial(w, 2);
    size_t used[3];

    for (int i = 0; i < 3; i++) {
        send_frames(r, 1, 30000 - 50 * (size_t)i);
        nw_run(w, 10);
        CHECK_EQ(w->n_held, i + 1);
        nw_reply(w, i);
        nw_run(w, 10);
        used[i] = heap_used(io_heap(w->io));
    }
    CHECK(used[0] > 30000 && used[1] == used[0] && used[2] == used[0]);
    raw_close(r);
    nw_run(w, 100);
    CHECK(heap_used(io_heap(w->io)) + 30000 < used[0]);
    raw_free(r);
    nw_drop(w);
}

/* An aborted request closes its connection, and what the others still do comes to nothing but an end. */
TEST(net, abort_closes_the_connection)
{
    struct net_world *w = nw_new(4);
    struct raw *r = raw_dial(w, 2);

    send_frames(r, 3, 3);
    nw_run(w, 10);
    nw_reply(w, 2);
    nw_abort(w, 1);
    nw_run(w, 10);
    CHECK(r->closed);
    CHECK_EQ(w->n_gone, 1);
    raw_free(r);
    nw_drop(w);
}

/* A handler that waits is told once when its connection closes, and its frame's memory comes back. */
TEST(net, gone_is_told_to_waiting_handlers)
{
    struct net_world *w = nw_new(5);
    struct raw *r = raw_dial(w, 2);

    send_frames(r, 7, 1000);
    nw_run(w, 10);
    CHECK_EQ(w->n_held, 7);
    CHECK(net_budget_used(w->shared) > 7 * 1000);
    raw_free(r);
    nw_run(w, 10);
    CHECK_EQ(w->n_gone, 7);
    CHECK_EQ(net_budget_used(w->shared), 0);
    nw_drop(w);
}

/* A connection has at most CONN_REQUESTS_MAX requests in flight; the others wait in order and are all answered. */
TEST(net, requests_in_flight_are_bounded)
{
    struct net_world *w = nw_new(6);
    struct raw *r = raw_dial(w, 2);

    send_frames(r, 200, 3);
    nw_run(w, 10);
    CHECK_EQ(w->n_held, CONN_REQUESTS_MAX);
    for (int i = 0; i < 200; i++) {
        nw_reply(w, i);
        nw_run(w, 1);
        CHECK(w->n_held <= i + 1 + CONN_REQUESTS_MAX);
    }
    nw_run(w, 10);
    CHECK_EQ(raw_answers(r), 200);
    for (int i = 0; i < 200; i++)
        CHECK_EQ(raw_correlation(r, i), 100 + i);
    raw_free(r);
    nw_drop(w);
}

static void reply_large(struct request *r)
{
    struct MetadataResponse *m = r->out;

    m->cluster_id = slice_of(arena_alloc(&r->arena, 30000), 30000);
    memset(m->cluster_id.p, 'c', m->cluster_id.len);
    request_reply(r);
}

/* Who doesn't read its answers isn't served further: a few large answers are the most that is held for it. */
TEST(net, slow_readers_are_not_read)
{
    struct net_world *w = nw_new(7);
    struct raw *r = raw_dial(w, 2);

    w->run = reply_large;
    r->deaf = true;
    send_frames(r, 200, 3);
    nw_run(w, 2000);
    int before = w->n_ran;
    nw_run(w, 2000);
    CHECK(before < 100 && w->n_ran == before);
    raw_hear(r);
    nw_run(w, 5000);
    CHECK_EQ(w->n_ran, 200);
    CHECK_EQ(raw_answers(r), 200);
    raw_free(r);
    nw_drop(w);
}

/* The budget bounds what all connections hold, one frame a loop aside, and everybody is served in the end. */
TEST(net, budget_bounds_frames_and_starves_nobody)
{
    enum { CONNS = 12, FRAME = 25000, MAX = 60000 };
    struct net_world *w = nw_make(8);
    struct raw *r[CONNS];
    int done = 0;

    w->limits.queued_bytes_max = MAX;
    nw_start(w);
    for (int i = 0; i < CONNS; i++)
        r[i] = raw_dial(w, 2 + i % 3);
    nw_run(w, 10);
    for (int i = 0; i < CONNS; i++)
        send_frames(r[i], 2, FRAME);
    for (int turn = 0; turn < 300 && done < 2 * CONNS; turn++) {
        nw_run(w, 5);
        CHECK(net_budget_used(w->shared) <= MAX + FRAME + 200 + SCRATCH_BYTES);
        if (done < w->n_held)
            nw_reply(w, done++);
    }
    nw_run(w, 10);
    CHECK_EQ(w->n_ran, 2 * CONNS);
    for (int i = 0; i < CONNS; i++) {
        CHECK_EQ(raw_answers(r[i]), 2);
        raw_free(r[i]);
    }
    nw_drop(w);
}

/* A frame larger than the whole budget still passes, one at a time. */
TEST(net, one_frame_passes_a_budget_too_small_for_it)
{
    struct net_world *w = nw_make(9);

    w->limits.queued_bytes_max = 1000;
    nw_start(w);
    struct raw *r = raw_dial(w, 2);

    send_frames(r, 3, 20000);
    for (int i = 0; i < 3; i++) {
        nw_run(w, 50);
        CHECK_EQ(w->n_held, i + 1);
        nw_reply(w, i);
    }
    nw_run(w, 10);
    CHECK_EQ(raw_answers(r), 3);
    raw_free(r);
    nw_drop(w);
}

/* Who announces frames and sends nothing holds the budget for a moment only; alone, it may take its time. */
TEST(net, slow_frames_give_way_to_those_who_wait)
{
    enum { SLOW = 8 };
    struct net_world *w = nw_make(14);
    struct raw *slow[SLOW];

    w->limits.queued_bytes_max = 1000;
    nw_start(w);
    for (int i = 0; i < SLOW; i++) {
        slow[i] = raw_dial(w, 2 + i % 3);
        raw_send(slow[i], "\x00\x10\x00\x00\x00\x03", 6);
        nw_run(w, 10000);
        CHECK(i >= NW_LOOPS || !slow[i]->closed);
    }
    struct raw *good = raw_dial(w, 5);
    nw_run(w, 10);
    send_frames(good, 1, 20000);
    nw_run(w, 20000);
    CHECK_EQ(w->n_held, 1);
    nw_reply(w, 0);
    nw_run(w, 10);
    CHECK_EQ(raw_answers(good), 1);
    for (int i = 0; i < SLOW; i++)
        raw_free(slow[i]);
    raw_free(good);
    nw_drop(w);
}

/* Who leaves while it waits for budget holds nobody else up. */
TEST(net, leaving_the_queue_for_budget)
{
    struct net_world *w = nw_make(10);

    w->limits.queued_bytes_max = 1000;
    nw_start(w);
    struct raw *a = raw_dial(w, 2), *b = raw_dial(w, 3), *c = raw_dial(w, 4);

    send_frames(a, 1, 20000);
    nw_run(w, 10);
    send_frames(b, 1, 20000);
    nw_run(w, 10);
    send_frames(c, 1, 20000);
    nw_run(w, 10);
    CHECK_EQ(w->n_held, 1);
    raw_free(b); /* it isn't read, so its end is seen when its turn has come */
    nw_reply(w, 0);
    nw_run(w, 10);
    CHECK_EQ(w->n_held, 3);
    CHECK_EQ(w->n_gone, 1);
    nw_reply(w, 2);
    nw_run(w, 10);
    CHECK_EQ(raw_answers(c), 1);
    raw_free(a);
    raw_free(c);
    nw_drop(w);
}

static const struct {
    const char *name;
    uint8_t bytes[16];
    size_t len;
} hostile[] = {
    {"negative length", {0xff, 0xff, 0xff, 0xff}, 4},
    {"length above the limit", {0x10, 0, 0, 0}, 4},
    {"empty frame", {0, 0, 0, 0}, 4},
    {"shorter than a header", {0, 0, 0, 4, 0, 18, 0, 0}, 8},
    {"unknown api", {0, 0, 0, 10, 3, 231, 0, 0, 0, 0, 0, 1, 0xff, 0xff}, 14},
    {"negative api", {0, 0, 0, 10, 0x80, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff}, 14},
    {"unsupported version", {0, 0, 0, 10, 0, 3, 0, 99, 0, 0, 0, 1, 0xff, 0xff}, 14},
    {"client id beyond the end", {0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0x7f, 0xff}, 14},
    {"body cut off", {0, 0, 0, 12, 0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0, 0}, 16},
};

/* What can't be a request ends its connection, and costs nothing that stays. */
TEST_EACH(net, hostile_bytes_close_the_connection, hostile)
{
    struct net_world *w = nw_new(11);
    struct raw *r = raw_dial(w, 2);

    nw_run(w, 10);
    raw_send(r, row->bytes, row->len);
    nw_run(w, 50);
    CHECK(r->closed);
    CHECK_EQ(net_budget_used(w->shared), 0);
    CHECK_EQ(w->n_ran, 0);
    raw_free(r);
    nw_drop(w);
}

static void reply_now(struct request *r)
{
    request_reply(r);
}

/* Random and damaged frames, in random pieces, never do more than close their connection. */
TEST(net, random_bytes_never_crash)
{
    struct net_world *w = nw_new(12);
    struct test_random rnd;

    w->run = reply_now;
    test_random_init(&rnd, 12);
    for (int round = 0; round < 60; round++) {
        struct raw *r = raw_dial(w, 2 + round % 4);
        struct bytes b;

        bytes_init(&b, r->heap);
        hold_frames(&b, 3, test_random_below(&rnd, 300));
        versions_frame(&b, (int)test_random_below(&rnd, 5), 1);
        for (uint64_t n = test_random_below(&rnd, 6); n > 0; n--)
            b.p[test_random_below(&rnd, b.len)] = (uint8_t)test_random_next(&rnd);
        for (size_t at = 0, n; at < b.len; at += n) {
            n = 1 + test_random_below(&rnd, b.len - at);
            raw_send(r, b.p + at, n);
            nw_run(w, 2);
        }
        bytes_drop(&b);
        raw_free(r);
    }
    nw_drop(w);
}

/* A client of a newer ApiVersions is answered in version 0 with the versions of ApiVersions alone. */
TEST(net, unsupported_api_versions_is_answered_in_version_0)
{
    struct net_world *w = nw_new(13);
    struct raw *r = raw_dial(w, 2);
    static const uint8_t ask[] = {0, 0, 0, 11, 0, 18, 0, 77, 0, 0, 0, 9, 0xff, 0xff, 0};
    static const uint8_t want[] = {0, 0, 0, 9, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4};

    raw_send(r, ask, sizeof(ask));
    nw_run(w, 10);
    CHECK_EQ(raw_answers(r), 1);
    CHECK(slice_eq(raw_answer(r, 0), slice_of(want, sizeof(want))));
    raw_free(r);
    nw_drop(w);
}

/* A connection that is quiet for connections.max.idle.ms is closed, one that speaks or waits for an answer isn't. */
TEST(net, idle_connections_are_closed)
{
    struct net_world *w = nw_make(14);

    w->limits.idle_ns = INT64_C(1000) * 1000000;
    nw_start(w);
    struct raw *quiet = raw_dial(w, 2), *waits = raw_dial(w, 3), *speaks = raw_dial(w, 4);

    send_frames(waits, 1, 3);
    for (int i = 0; i < 6; i++) {
        struct bytes b;

        nw_run(w, 400);
        bytes_init(&b, speaks->heap);
        versions_frame(&b, 0, i);
        raw_send(speaks, b.p, b.len);
        bytes_drop(&b);
    }
    nw_run(w, 10);
    CHECK(quiet->closed && !waits->closed && !speaks->closed);
    CHECK_EQ(raw_answers(speaks), 6);
    nw_reply(w, 0);
    nw_run(w, 2100);
    CHECK(waits->closed && speaks->closed);
    raw_free(quiet);
    raw_free(waits);
    raw_free(speaks);
    nw_drop(w);
}

/* Every connection is a small struct and nothing else while nothing happens on it. */
TEST(net, a_connection_at_rest_is_small)
{
    struct net_world *w = nw_new(15);
    struct raw *r[50];
    size_t before = heap_used(io_heap(w->io));

    for (int i = 0; i < 50; i++)
        r[i] = raw_dial(w, 2 + i % 4);
    nw_run(w, 20);
    CHECK_EQ(net_connections(w->loops[0].net), 50);
    CHECK(heap_used(io_heap(w->io)) - before < 50 * 1024);
    for (int i = 0; i < 50; i++)
        raw_free(r[i]);
    nw_drop(w);
}

/* Stopping lets requests end and delivers their answers; what still waits after the grace is told that it is gone. */
TEST(net, stop_delivers_due_answers)
{
    struct net_world *w = nw_new(16);
    struct raw *r = raw_dial(w, 2), *waits = raw_dial(w, 3);

    r->deaf = true;
    w->run = reply_large;
    send_frames(r, 2, 3);
    nw_run(w, 10);
    w->run = nw_hold;
    send_frames(waits, 1, 3);
    nw_run(w, 10);
    raw_hear(r);
    nw_stop(w);
    CHECK_EQ(raw_answers(r), 2);
    CHECK(r->closed && waits->closed);
    CHECK_EQ(w->n_gone, 1);
    raw_free(r);
    raw_free(waits);
    nw_drop(w);
}

static void spread_run(struct loop *loop, void *arg)
{
    struct net_world *w = arg;

    (void)loop;
    listeners_spread(w->shared, w->loop_ptrs, NW_LOOPS);
}

/* Connections go evenly to the loops that there are, the new ones too when their number changes. */
TEST(net, connections_are_spread_evenly)
{
    struct net_world *w = nw_new(17);
    struct raw *r[12];

    for (int i = 0; i < 4; i++)
        r[i] = raw_dial(w, 2);
    nw_run(w, 10);
    CHECK(sim_call(w->sim, w->io, LOOP_NET, spread_run, w));
    for (int i = 4; i < 12; i++)
        r[i] = raw_dial(w, 3);
    nw_run(w, 10);
    CHECK_EQ(net_connections(w->loops[0].net), 6);
    CHECK_EQ(net_connections(w->loops[1].net), 6);
    for (int i = 0; i < 12; i++)
        raw_free(r[i]);
    nw_drop(w);
}

static const bool of_listener_rows[] = {false, true};

/* max.connections, of all or of a listener: who comes too many waits, and comes in when another has left. */
TEST_EACH(net, max_connections_makes_others_wait, of_listener_rows)
{
    struct net_world *w = nw_make(18);
    struct raw *r[3];

    *(*row ? &w->limits.listeners[0].connections_max : &w->limits.connections_max) = 2;
    nw_start(w);
    for (int i = 0; i < 3; i++) {
        r[i] = raw_dial(w, 2);
        nw_run(w, 10);
    }
    send_frames(r[2], 1, 3);
    nw_run(w, 100);
    CHECK_EQ(net_connections(w->loops[0].net), 2);
    CHECK_EQ(w->n_held, 0);
    raw_free(r[0]);
    nw_run(w, 100);
    CHECK_EQ(w->n_held, 1);
    raw_free(r[1]);
    raw_free(r[2]);
    nw_drop(w);
}

/* max.connections.per.ip and its overrides refuse what is above them, by address. */
TEST(net, connections_of_an_address_are_bounded)
{
    struct net_world *w = nw_make(19);
    struct ip_limit more = {.max = 3};
    struct addr three = sim_addr(3, 0);
    struct raw *r[8];
    int open[2] = {0, 0};

    memcpy(more.ip, three.ip, sizeof(more.ip));
    w->limits.per_ip_max = 1;
    w->limits.per_ip = &more;
    w->limits.n_per_ip = 1;
    nw_start(w);
    for (int i = 0; i < 8; i++)
        r[i] = raw_dial(w, 2 + i % 2);
    nw_run(w, 50);
    for (int i = 0; i < 8; i++)
        open[i % 2] += !r[i]->closed;
    CHECK_EQ(open[0], 1);
    CHECK_EQ(open[1], 3);
    for (int i = 0; i < 8; i++)
        raw_free(r[i]);
    nw_drop(w);
}

/* max.connection.creation.rate: a second's worth may come at once, the others one by one. */
TEST_EACH(net, connection_rate_is_bounded, of_listener_rows)
{
    struct net_world *w = nw_make(20);
    struct raw *r[30];

    *(*row ? &w->limits.listeners[0].creation_rate : &w->limits.creation_rate) = 10;
    nw_start(w);
    for (int i = 0; i < 30; i++)
        r[i] = raw_dial(w, 2 + i % 4);
    nw_run(w, 20);
    CHECK(net_connections(w->loops[0].net) >= 10 && net_connections(w->loops[0].net) <= 12);
    nw_run(w, 1000);
    CHECK(net_connections(w->loops[0].net) >= 19 && net_connections(w->loops[0].net) <= 22);
    nw_run(w, 1100);
    CHECK_EQ(net_connections(w->loops[0].net), 30);
    for (int i = 0; i < 30; i++)
        raw_free(r[i]);
    nw_drop(w);
}

/* The same frames under delays, stalls, resets and tiny buffers: what is answered is in order, and nothing stays. */
TEST(net, survives_a_bad_network)
{
    for (uint64_t seed = 100; seed < 110; seed++) {
        struct net_world *w = nw_make(seed);
        struct sim_options o = sim_swarm(seed);

        sim_drop(w->sim);
        w->sim = sim_new_with(&o);
        w->run = reply_now;
        nw_start(w);
        struct raw *r[4];

        for (int i = 0; i < 4; i++)
            r[i] = raw_dial(w, 2 + i);
        nw_run(w, 1000);
        for (int i = 0; i < 4; i++)
            send_frames(r[i], 40, 2000);
        nw_run(w, 20000);
        for (int i = 0; i < 4; i++) {
            for (int a = 0; a < raw_answers(r[i]); a++)
                CHECK_EQ(raw_correlation(r[i], a), 100 + a);
            CHECK(r[i]->closed || raw_answers(r[i]) == 40);
        }
        sim_calm(w->sim);
        for (int i = 0; i < 4; i++)
            raw_free(r[i]);
        nw_drop(w);
    }
}
