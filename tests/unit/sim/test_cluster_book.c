/* What a judge makes of rows of the trace: as nodes write them, so that a row of other words is noticed here. */
#include "base/trace.h"
#include "tests/check.h"
#include "tests/sim/cluster_book.h"

struct saying {
    struct io *io;
    enum trace_id id;
};

static void says(struct loop *loop, void *arg)
{
    const struct saying *x = arg;

    switch (x->id) {
    case TR_control_rests:
        TRACE(x->io, control_rests, 1);
        break;
    case TR_control_rests_still:
        TRACE(x->io, control_rests_still, 2);
        break;
    case TR_control_rests_for_good:
        TRACE(x->io, control_rests_for_good);
        break;
    default:
        TRACE(x->io, control_back, 7LL);
    }
}

static void say(struct sim *s, struct io *io, enum trace_id id)
{
    struct saying x = {io, id};

    CHECK(sim_call(s, io, LOOP_DISK, says, &x));
}

/* A node whose disk has failed rests until it says that it takes part again, or begins another life; others aren't meant. */
TEST(cluster_book, who_rests)
{
    struct sim *s = sim_new(1);
    struct cbook *b = cbook_new(s, 2, 3);
    struct io *io = sim_node(s, 2);

    sim_ear_set(s, cbook_line, b);
    CHECK(!cbook_rests(b, 2));
    say(s, io, TR_control_rests);
    CHECK(cbook_rests(b, 2) && !cbook_rests(b, 1) && !cbook_rests(b, 3));
    say(s, io, TR_control_rests_still);
    CHECK(cbook_rests(b, 2));
    say(s, io, TR_control_back);
    CHECK(!cbook_rests(b, 2));
    say(s, io, TR_control_rests);
    say(s, io, TR_control_rests_for_good);
    CHECK(cbook_rests(b, 2));
    cbook_life(b, 2);
    CHECK(!cbook_rests(b, 2));
    cbook_drop(b);
    sim_drop(s);
}
