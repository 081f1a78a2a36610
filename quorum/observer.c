#include "quorum/observer.h"
#include "base/check.h"

void observer_init(struct observer *o, int64_t end, int32_t last_epoch)
{
    *o = (struct observer){.end = end,
                           .last_epoch = last_epoch,
                           .leader = -1,
                           .epoch = -1,
                           .led = -1,
                           .by = -1,
                           .goal = INT64_MAX};
}

enum observed observer_judge(const struct observer *o, const struct quorum_fetched *f)
{
    if (f->offset != o->end)
        return OBSERVED_STALE;
    if (f->diverges || f->err)
        return f->epoch >= o->epoch && f->epoch >= o->last_epoch ? OBSERVED_DIVERGED : OBSERVED_STALE;
    if (f->snapshot.offset >= 0)
        return f->snapshot.offset > o->end && f->snapshot.epoch >= o->last_epoch ? OBSERVED_SNAPSHOT
                                                                                 : OBSERVED_STALE;
    return f->batches.len > 0 ? OBSERVED_BATCHES : OBSERVED_NEWS;
}

void observer_heard(struct observer *o, const struct quorum_fetched *f, bool votes)
{
    if (f->epoch < o->epoch)
        return;
    if (f->leader < 0) {
        o->leader = -1;
        if (f->epoch > o->epoch && votes) {
            o->epoch = f->epoch;
            o->by = f->node;
        }
        return;
    }
    if (f->epoch > o->epoch || o->leader < 0)
        o->goal = f->committed;
    o->leader = f->leader;
    o->epoch = o->led = f->epoch;
    o->by = -1;
}

void observer_doubt(struct observer *o)
{
    ASSERT(o->by >= 0);
    o->epoch = o->led;
    o->by = -1;
}

void observer_reached(struct observer *o, int64_t end, int32_t last_epoch)
{
    ASSERT(end > o->end && last_epoch >= o->last_epoch);
    o->end = end;
    o->last_epoch = last_epoch;
}

bool observer_caught_up(const struct observer *o)
{
    return o->leader >= 0 && o->end >= o->goal && o->last_epoch == o->epoch;
}
