#include "scatter.h"
#include "base/check.h"

struct scatter *scatter_new(struct request *r, void (*visit)(struct lane *), void (*done)(struct scatter *))
{
    struct node *node = r->net->node;
    struct scatter *s = arena_alloc(&r->arena, sizeof(*s));

    s->request = r;
    s->visit = visit;
    s->done = done;
    s->n_lanes = node->n_disk;
    s->lanes = arena_alloc(&r->arena, (size_t)node->n_disk * sizeof(*s->lanes));
    for (int i = 0; i < s->n_lanes; i++) {
        s->lanes[i].scatter = s;
        s->lanes[i].disk = node->disk[i];
        list_init(&s->lanes[i].commit);
    }
    return s;
}

void scatter_add(struct scatter *s, struct scatter_item *item)
{
    struct disk_loop *disk = node_disk_of(s->request->net->node, &item->topic_id, item->partition);
    struct lane *lane = &s->lanes[disk->index];

    ASSERT(s->pending == 0);
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
    lane->msg.run = lane_visit;
    loop_post(lane->disk->loop, &lane->msg);
}

void scatter_go_all(struct scatter *s)
{
    ASSERT(s->pending == 0);
    s->pending = s->n_lanes;
    for (int i = 0; i < s->n_lanes; i++)
        lane_go(&s->lanes[i]);
}

void scatter_go(struct scatter *s)
{
    ASSERT(s->pending == 0);
    for (int i = 0; i < s->n_lanes; i++)
        s->pending += s->lanes[i].first != NULL;
    if (s->pending == 0) {
        s->empty.run = nothing_visited;
        loop_post(s->request->net->loop, &s->empty);
        return;
    }
    for (int i = 0; i < s->n_lanes; i++)
        if (s->lanes[i].first)
            lane_go(&s->lanes[i]);
}

void lane_answer(struct lane *lane)
{
    lane->msg.run = lane_answered;
    loop_post(lane->scatter->request->net->loop, &lane->msg);
}
