#include "leader_apis.h"
#include "base/check.h"
#include "broker/link/forward.h"
#include "broker/node.h"
#include "proto_gen.h"

struct entry {
    int32_t controller;
    struct api_ranges has;
};

/* The control loop's. */
struct leader_apis {
    struct node *node;
    struct loop *control;
    int32_t leader;
    int n, oldest;
    struct entry book[LEADER_APIS_BOOK];
    bool ended;
};

static const struct api_range *range_of(const struct api_ranges *c, int16_t key)
{
    for (int i = 0; i < c->n; i++)
        if (c->v[i].key == key)
            return &c->v[i];
    return NULL;
}

bool leader_apis_share(const struct api_ranges *c, int16_t key, int16_t *min, int16_t *max)
{
    const struct api_range *has = range_of(c, key);

    if (!c->known || !has)
        return !c->known;
    *min = has->min > *min ? has->min : *min;
    *max = has->max < *max ? has->max : *max;
    return *min <= *max;
}

/* ---- to the NET loops ---- */

struct news {
    struct msg msg;
    struct net_loop *to;
    struct api_ranges has;
};

static void news_run(struct msg *msg)
{
    struct news *news = container_of(msg, struct news, msg);

    news->to->controller = news->has;
    heap_free(news->to->node->heap, news);
}

static bool same(const struct api_ranges *a, const struct api_ranges *b)
{
    return a->known == b->known && a->n == b->n &&
           memcmp(a->v, b->v, (size_t)a->n * sizeof(struct api_range)) == 0;
}

static void say(struct leader_apis *r, const struct api_ranges *has)
{
    struct node *n = r->node;

    if (r->ended || same(&n->controller, has))
        return;
    n->controller = *has; /* loops that are made later begin with it */
    for (int i = 0; i < n->n_net; i++) {
        struct news *news = heap_alloc(n->heap, sizeof(*news));

        *news = (struct news){.msg = {.run = news_run}, .to = n->net[i], .has = *has};
        loop_post(n->net[i]->loop, &news->msg);
    }
}

static struct entry *entry_of(struct leader_apis *r, int32_t controller)
{
    for (int i = 0; i < r->n; i++)
        if (r->book[i].controller == controller)
            return &r->book[i];
    return NULL;
}

void leader_apis_leads(struct leader_apis *r, int32_t leader)
{
    static const struct api_ranges ours;
    const struct entry *e = entry_of(r, leader);

    r->leader = leader;
    if (leader == r->node->id)
        say(r, &ours);
    else if (e)
        say(r, &e->has);
}

/* ---- from net[0] ---- */

struct came {
    struct msg msg;
    struct leader_apis *leader_apis;
    struct entry entry;
};

static void came_run(struct msg *msg)
{
    struct came *came = container_of(msg, struct came, msg);
    struct leader_apis *r = came->leader_apis;
    struct entry *e = entry_of(r, came->entry.controller);

    if (!e && r->n < LEADER_APIS_BOOK)
        e = &r->book[r->n++];
    if (!e) {
        e = &r->book[r->oldest];
        r->oldest = (r->oldest + 1) % LEADER_APIS_BOOK;
    }
    *e = came->entry;
    if (e->controller == r->leader)
        say(r, &e->has);
    heap_free(r->node->heap, came);
}

void leader_apis_came(void *arg, int32_t controller, const struct ApiVersionsResponse *has)
{
    struct leader_apis *r = arg;
    struct came *came = heap_alloc(r->node->heap, sizeof(*came));
    struct api_ranges *c = &came->entry.has;

    came->msg.run = came_run;
    came->leader_apis = r;
    came->entry.controller = controller;
    c->known = true;
    for (int i = 0; i < has->api_keys.n && c->n < LEADER_APIS_MAX; i++) {
        const struct ApiVersionsResponse_ApiVersion *v = &has->api_keys.v[i];

        if (forward_api(v->api_key) && !range_of(c, v->api_key))
            c->v[c->n++] = (struct api_range){v->api_key, v->min_version, v->max_version};
    }
    loop_post(r->control, &came->msg);
}

/* ---- beginning and end ---- */

struct leader_apis *leader_apis_new(struct node *node, struct loop *control)
{
    struct leader_apis *r = heap_alloc(node->heap, sizeof(*r));

    r->node = node;
    r->control = control;
    r->leader = -1;
    return r;
}

void leader_apis_end(struct leader_apis *r)
{
    r->ended = true;
}

void leader_apis_drop(struct leader_apis *r)
{
    ASSERT(r->ended);
    heap_free(r->node->heap, r);
}
