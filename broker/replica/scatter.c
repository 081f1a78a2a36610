#include "scatter.h"
#include "base/check.h"
#include "broker/replica/move.h"

/* A lane for each loop that owns partitions now, and those that there were: without items, with their state. */
static void lanes_make(struct scatter *s)
{
    const struct disk_table *t = s->request->net->disks;
    int n = s->n_lanes > t->n_active ? s->n_lanes : t->n_active;
    struct lane *lanes = arena_alloc(&s->request->arena, (size_t)n * sizeof(*lanes));

    for (int i = 0; i < n; i++) {
        lanes[i].scatter = s;
        lanes[i].disk = t->v[i];
        lanes[i].state = i < s->n_lanes ? s->lanes[i].state : NULL;
        list_init(&lanes[i].commit);
    }
    s->lanes = lanes;
    s->n_lanes = n;
    s->generation = t->generation;
}

struct scatter *scatter_new(struct request *r, void (*visit)(struct lane *), void (*done)(struct scatter *))
{
    struct scatter *s = arena_alloc(&r->arena, sizeof(*s));

    s->request = r;
    s->visit = visit;
    s->done = done;
    lanes_make(s);
    return s;
}

bool scatter_renew(struct scatter *s)
{
    ASSERT(s->pending == 0);
    if (s->generation == s->request->net->disks->generation)
        return false;
    lanes_make(s);
    return true;
}

void scatter_aim(struct scatter_item *item, const struct image_topic *topic)
{
    item->topic_id = topic->id;
    item->key = disk_key(topic->name, item->partition);
}

void scatter_add(struct scatter *s, struct scatter_item *item)
{
    struct disk_loop *disk = disk_of(s->request->net->disks, item->key);
    struct lane *lane = &s->lanes[disk->index];

    ASSERT(s->pending == 0 && s->generation == s->request->net->disks->generation);
    item->next = NULL;
    if (lane->last)
        lane->last->next = item;
    else
        lane->first = item;
    lane->last = item;
}

static void lane_visit(struct msg *msg)
{
    struct lane *lane = container_of(msg, struct lane, msg);
    if (!move_holds(lane->disk->partitions, lane))
        lane->scatter->visit(lane);
}

static void lane_answered(struct msg *msg)
{
    struct scatter *s = container_of(msg, struct lane, msg)->scatter;

    ASSERT(s->pending > 0);
    if (--s->pending == 0)
        s->done(s); /* may end the request: last touch */
}

static void nothing_visited(struct msg *msg)
{
    struct scatter *s = container_of(msg, struct scatter, empty);
    s->done(s);
}

static void lane_go(struct lane *lane)
{
    lane->owing = false;
    lane->msg.run = lane_visit;
    loop_post(lane->disk->loop, &lane->msg);
}

void scatter_go_all(struct scatter *s)
{
    ASSERT(s->pending == 0 && s->generation == s->request->net->disks->generation);
    s->all = true;
    s->pending = s->n_lanes;
    for (int i = 0; i < s->n_lanes; i++)
        lane_go(&s->lanes[i]);
}

void scatter_go(struct scatter *s)
{
    ASSERT(s->pending == 0 && s->generation == s->request->net->disks->generation);
    for (int i = 0; i < s->n_lanes; i++)
        s->pending += s->lanes[i].first || s->lanes[i].owing;
    if (s->pending == 0) {
        s->empty.run = nothing_visited;
        loop_post(s->request->net->loop, &s->empty);
        return;
    }
    for (int i = 0; i < s->n_lanes; i++)
        if (s->lanes[i].first || s->lanes[i].owing)
            lane_go(&s->lanes[i]);
}

void lane_answer(struct lane *lane)
{
    lane->msg.run = lane_answered;
    loop_post(lane->scatter->request->net->loop, &lane->msg);
}
