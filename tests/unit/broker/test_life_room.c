/* A metadata disk that is full, or that hangs: another node leads. */
#include "base/trace.h"
#include "tests/unit/broker/life_world.h"

/* ---- a disk that is full ---- */

enum { ROOM = 65536 }; /* for the topics that are deleted when there is none */

static void limit(struct life *w, int i, int64_t room)
{
    sim_disk_limit(w->sim, i + 1, room < 0 ? -1 : sim_disk_used(w->sim, i + 1) + room);
}

static int64_t gave_way(const struct life *w)
{
    int64_t n = 0;

    for (int i = 0; i < N; i++)
        n += life_told(w, i, TR_quorum_gives_way);
    return n;
}

static bool is_tight(const struct life *w, int i)
{
    return w->v[i]->node->control->tight;
}

/* The topic that was asked for waits for room: a leader gives way to a node that has some, but not again soon. Meanwhile a
 * snapshot may have freed much. */
static void fill_later(struct life *w, int i, int asked)
{
    CHECK(sim_run(w->sim, life_is_answered, &w->answered[asked], 35000 * A_MS));
    limit(w, i, ROOM);
}

/* Topics until node i has no room; the last one may wait for some. */
static void fill(struct life *w, int i, int asked)
{
    if (!is_tight(w, i) && w->asks[asked].wire)
        fill_later(w, i, asked);
    for (int n = 0; !is_tight(w, i); n++) {
        CHECK(n < 2000);
        life_create_begin(w, asked);
        if (sim_run(w->sim, life_is_answered, &w->answered[asked], 3000 * A_MS)) {
            life_created(w, asked, 0);
            life_run(w, 5);
        } else if (!is_tight(w, i)) {
            fill_later(w, i, asked);
        }
    }
    life_run(w, 100);
    CHECK(is_tight(w, i));
}

/* A leader that lives on its reserve, while another voter has room, holds up nobody, and keeps its reserve. */
TEST(life_room, a_tight_leader_gives_way_to_one_with_room)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct life w;
        int i, other;

        life_init(&w, seed);
        i = life_leader(&w);
        other = (i + 1) % N;
        limit(&w, i, ROOM);
        limit(&w, other, ROOM); /* the third one is to lead */
        fill(&w, i, seed % 2 ? other : i);
        life_create_begin(&w, i);
        life_create_begin(&w, other);
        life_created(&w, i, 1000);
        life_created(&w, other, 1000);
        CHECK_EQ(life_leader(&w), (i + 2) % N);
        life_run(&w, 60000);
        CHECK_EQ(life_leader(&w), (i + 2) % N);
        CHECK(gave_way(&w) <= 2); /* the second one may have had room until it led */
        limit(&w, i, -1);
        limit(&w, other, -1);
        life_run(&w, 1000);
        CHECK(!is_tight(&w, i) && !is_tight(&w, other));
        life_drop(&w);
    }
}

/* Where nobody has room leadership stays, and what waits is decided when one of them has. */
TEST(life_room, nobody_gives_way_where_nobody_has_room)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct life w;
        int64_t ways;
        int i;

        life_init(&w, seed);
        for (i = 0; i < N; i++)
            limit(&w, i, ROOM);
        for (i = 0; i < N; i++)
            fill(&w, i, 0);
        life_run(&w, 35000);
        life_dial(&w); /* a topic may have waited for longer than connections rest */
        ways = gave_way(&w);
        i = life_leader(&w);
        life_create_begin(&w, i);
        life_run(&w, 25000);
        CHECK(!w.answered[i] && gave_way(&w) == ways && life_leader(&w) == i);
        limit(&w, (i + 1) % N, -1);
        life_created(&w, i, 3000);
        CHECK_EQ(life_leader(&w), (i + 1) % N);
        life_drop(&w);
    }
}

/* A leader whose disk is full, its reserve used up, holds up nobody: another one leads, and it follows again when there is
 * room. */
TEST(life_room, a_leader_without_room_gives_way)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct life w;
        int64_t ways;
        int i, other;

        life_init(&w, seed);
        i = life_leader(&w);
        other = (i + 1) % N;
        for (int n = 0; n < N; n++)
            limit(&w, n, ROOM);
        for (int n = 0; n < N; n++)
            fill(&w, n, other);
        i = life_leader(&w);
        other = (i + 1) % N;
        ways = life_told(&w, i, TR_quorum_gives_way);
        limit(&w, i, 0);
        for (int n = 0; life_told(&w, i, TR_quorum_gives_way) == ways; n++) {
            CHECK(n < w.topics);
            life_deleted(&w, other, n);
        }
        CHECK(life_leader(&w) != i);
        for (int n = 0; n < N; n++)
            limit(&w, n, -1);
        life_run(&w, 40000);
        life_create_begin(&w, i);
        life_created(&w, i, 5000);
        CHECK(sim_run(w.sim, life_all_alike, &w, 5000 * A_MS));
        CHECK(w.v[i]->ready && !w.v[i]->stopped);
        CHECK(control_quorum(w.v[i]->node->control).failed == E_OK);
        life_drop(&w);
    }
}

/* ---- a disk that hangs ---- */

struct failing {
    struct life *w;
    int i;
};

static bool leads_no_more(void *arg)
{
    const struct failing *f = arg;

    return life_leader(f->w) >= 0 && life_leader(f->w) != f->i;
}

/* A disk that hangs below a leader, and says nothing: another one leads, that node's broker goes on, and it votes again when its
 * disk answers. */
TEST(life_room, a_leaders_disk_hangs)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct life w;
        struct failing f = {.w = &w, .i = -1};
        struct control *c;
        int i, other;

        life_init(&w, seed);
        i = f.i = life_leader(&w);
        other = (i + 1) % N;
        c = w.v[i]->node->control;
        sim_disk_stall(w.sim, i + 1, sim_now(w.sim) + 20000 * A_MS);
        life_create_begin(&w, other);
        CHECK(sim_run(w.sim, leads_no_more, &f, 3000 * A_MS));
        life_created(&w, other, 1000);
        life_create_begin(&w, i);
        life_created(&w, i, 2000);
        CHECK(sim_run(w.sim, life_all_alike, &w, 2000 * A_MS));
        life_run(&w, 9000);
        CHECK(life_told(&w, i, TR_quorum_hangs) == 1 && life_told(&w, i, TR_quorum_failed) == 1);
        CHECK(!c->quorum && w.v[i]->ready && !w.v[i]->stopped);
        CHECK(sim_run(w.sim, life_is_back, c, 40000 * A_MS));
        CHECK(sim_run(w.sim, life_all_alike, &w, 2000 * A_MS));
        life_create_begin(&w, i);
        life_created(&w, i, 2000);
        life_drop(&w);
    }
}

/* Disks that all hang: nobody is better than who leads, and nothing is lost. */
TEST(life_room, all_disks_hang)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct life w;

        life_init(&w, seed);
        for (int i = 0; i < N; i++)
            sim_disk_stall(w.sim, i + 1, sim_now(w.sim) + 9000 * A_MS);
        life_create_begin(&w, 0);
        life_created(&w, 0, 15000);
        for (int i = 0; i < N; i++) {
            CHECK(life_told(&w, i, TR_quorum_hangs) >= 2);
            CHECK_EQ(life_told(&w, i, TR_quorum_answers), 1);
            CHECK_EQ(life_told(&w, i, TR_quorum_failed), 0);
        }
        CHECK(sim_run(w.sim, life_all_alike, &w, 2000 * A_MS));
        life_drop(&w);
    }
}
