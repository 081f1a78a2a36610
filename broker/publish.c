#include "publish.h"
#include "base/check.h"
#include <stdio.h>

/* Loops needn't wake for each of many images: each has the newest before whatever is asked of it next, for it is posted first. What
 * they do by themselves begins at once if the last image is as old as that, and so much later at most. */
enum { WAKE_MS = 5 };
enum { ENTRIES_MAX = 512, NS_A_MS = 1000000 };

/* Settings in force, shared by the images that don't change them. */
struct shared_config {
    int refs;
    struct config *config; /* NULL: the base serves */
};

struct publisher {
    struct node *node;
    struct loop *control;
    struct grave *grave;
    const struct config *base;
    struct shared_config *config;
    struct image *last;        /* the newest published, referenced */
    struct image_slot **slots; /* of DISK loops, then of NET loops */
    int n;
    int n_disk;
    int64_t woken; /* all of them, at that time */
    struct timer wake;
    void (*shown)(void *arg);
    void *arg;
};

/* One loop's copy of what is published. */
struct copy {
    struct published pub;
    struct publisher *publisher;
    struct image *image;
    struct shared_config *config;
    struct image_slot *slot;
    struct msg told; /* it was adopted; before `back` */
    struct msg back;
    int holds; /* the slot's loop counts */
};

struct publisher *publisher_new(struct node *node, struct loop *control, struct grave *grave,
                                const struct config *base)
{
    struct publisher *p = heap_alloc(node->heap, sizeof(*p));

    p->node = node;
    p->control = control;
    p->grave = grave;
    p->base = base;
    p->config = heap_alloc(node->heap, sizeof(*p->config));
    p->config->refs = 1;
    p->woken = -(int64_t)WAKE_MS * NS_A_MS;
    return p;
}

static void config_unref(struct publisher *p, struct shared_config *c)
{
    if (--c->refs > 0)
        return;
    if (c->config)
        config_drop(c->config);
    heap_free(p->node->heap, c);
}

const struct config *publisher_config(const struct publisher *p)
{
    return p->config->config ? p->config->config : p->base;
}

static void copy_free(struct copy *c)
{
    struct publisher *p = c->publisher;

    image_unref(c->image, p->grave);
    config_unref(p, c->config);
    heap_free(p->node->heap, c);
}

static void copy_back(struct msg *msg)
{
    copy_free(container_of(msg, struct copy, back));
}

static void copy_told(struct msg *msg)
{
    struct copy *c = container_of(msg, struct copy, told);

    c->slot->shown = c->image->offset;
    if (c->publisher->shown)
        c->publisher->shown(c->publisher->arg);
}

/* ---- on the slot's loop ---- */

static void copy_leave(struct copy *c)
{
    c->back.run = copy_back;
    loop_post_quietly(c->publisher->control, &c->back);
}

static void copy_tell(struct copy *c)
{
    c->told.run = copy_told;
    if (c->slot->kind == LOOP_NET)
        loop_post(c->publisher->control, &c->told);
}

struct published *slot_hold(struct image_slot *s)
{
    container_of(s->now, struct copy, pub)->holds++;
    return s->now;
}

void slot_release(struct image_slot *s, struct published *p)
{
    struct copy *c = container_of(p, struct copy, pub);

    ASSERT(c->holds > 0);
    if (--c->holds == 0 && p != s->now)
        copy_leave(c);
}

static void slot_adopt(struct msg *msg)
{
    struct image_slot *s = container_of(msg, struct image_slot, adopt);
    struct published *now = atomic_exchange_explicit(&s->newest, NULL, memory_order_acq_rel);
    struct published *old = s->now;

    ASSERT(now);
    s->now = now;
    s->adopted(s, old, now);
    copy_tell(container_of(now, struct copy, pub));
    if (old && container_of(old, struct copy, pub)->holds == 0)
        copy_leave(container_of(old, struct copy, pub));
}

/* ---- settings ---- */

static void broker_config_changed(void *arg, const struct image_config *before,
                                  const struct image_config *after)
{
    if ((before ? before : after)->type == CONFIG_BROKER)
        *(bool *)arg = true;
}

static int entries_of(const struct image *image, struct slice resource, struct config_entry *out)
{
    struct image_configs walk = image_configs_of(image, CONFIG_BROKER, resource);
    const struct image_config *c;
    int n = 0;

    while (n < ENTRIES_MAX && (c = image_configs_next(&walk)))
        out[n++] = (struct config_entry){.name = c->name, .value = c->value};
    return n;
}

static void config_renew(struct publisher *p, const struct image *image)
{
    struct config_entry cluster[ENTRIES_MAX], broker[ENTRIES_MAX];
    char id[16];
    int n_cluster, n_broker;

    snprintf(id, sizeof(id), "%d", p->node->id);
    n_cluster = entries_of(image, SLICE(""), cluster);
    n_broker = entries_of(image, SLICE(id), broker);
    config_unref(p, p->config);
    p->config = heap_alloc(p->node->heap, sizeof(*p->config));
    p->config->refs = 1;
    if (n_cluster + n_broker > 0)
        p->config->config = config_with(p->base, cluster, n_cluster, broker, n_broker);
}

static void slot_put(struct publisher *p, struct image_slot *slot, struct image *image)
{
    struct copy *c = heap_alloc(p->node->heap, sizeof(*c));
    struct published *stale;

    c->publisher = p;
    c->slot = slot;
    c->image = image_ref(image);
    c->config = p->config;
    c->config->refs++;
    c->pub.image = image;
    c->pub.config = publisher_config(p);
    stale = atomic_exchange_explicit(&slot->newest, &c->pub, memory_order_acq_rel);
    if (stale)
        copy_free(container_of(stale, struct copy, pub));
    else
        loop_post_quietly(slot->loop, &slot->adopt);
}

static void wake_from(struct publisher *p, int first)
{
    for (int i = first; i < p->n; i++)
        if (atomic_load_explicit(&p->slots[i]->newest, memory_order_relaxed))
            loop_wake(p->slots[i]->loop);
}

static void wake_all(struct timer *timer)
{
    struct publisher *p = container_of(timer, struct publisher, wake);

    p->woken = loop_now(p->control);
    wake_from(p, 0);
}

static void wake_in_time(struct publisher *p)
{
    int64_t due = p->woken + (int64_t)WAKE_MS * NS_A_MS;

    p->wake.fire = wake_all;
    if (loop_now(p->control) >= due)
        wake_all(&p->wake);
    else
        timer_set(p->control, &p->wake, due);
}

void publisher_hurry(struct publisher *p)
{
    wake_from(p, p->n_disk);
}

void publisher_slot(struct publisher *p, struct image_slot *slot, struct loop *loop, enum loop_kind kind,
                    void (*adopted)(struct image_slot *, const struct published *, const struct published *))
{
    int at = kind == LOOP_DISK ? p->n_disk++ : p->n;

    p->slots = heap_resize(p->node->heap, p->slots, (size_t)(p->n + 1) * sizeof(struct image_slot *));
    memmove(p->slots + at + 1, p->slots + at, (size_t)(p->n - at) * sizeof(struct image_slot *));
    p->slots[at] = slot;
    p->n++;
    slot->node = p->node;
    slot->loop = loop;
    slot->kind = kind;
    slot->shown = -1;
    slot->adopted = adopted;
    slot->adopt.run = slot_adopt;
    if (p->last) {
        slot_put(p, slot, p->last);
        loop_wake(loop);
    }
}

int64_t publisher_shown(const struct publisher *p)
{
    int64_t lowest = INT64_MAX;

    for (int i = p->n_disk; i < p->n; i++)
        if (p->slots[i]->shown < lowest)
            lowest = p->slots[i]->shown;
    return lowest;
}

void publisher_watch(struct publisher *p, void (*shown)(void *arg), void *arg)
{
    p->shown = shown;
    p->arg = arg;
}

void publisher_begin(struct publisher *p, const struct image *image)
{
    ASSERT(!p->last);
    config_renew(p, image);
}

bool publisher_publish(struct publisher *p, struct image *image)
{
    bool changed = p->last == NULL;
    struct image_diff ops = {.config = broker_config_changed, .arg = &changed};

    if (image == p->last)
        return false;
    if (!changed)
        image_diff(p->last, image, &ops);
    if (changed)
        config_renew(p, image);
    for (int i = 0; i < p->n; i++)
        slot_put(p, p->slots[i], image);
    wake_in_time(p);
    image_ref(image);
    if (p->last)
        image_unref(p->last, p->grave);
    p->last = image;
    return changed;
}

void publisher_rest(struct publisher *p)
{
    timer_stop(&p->wake);
}

void publisher_drop(struct publisher *p)
{
    for (int i = 0; i < p->n; i++) {
        struct published *left = atomic_exchange_explicit(&p->slots[i]->newest, NULL, memory_order_acq_rel);
        if (left)
            copy_free(container_of(left, struct copy, pub));
        if (p->slots[i]->now)
            copy_free(container_of(p->slots[i]->now, struct copy, pub));
    }
    if (p->last)
        image_unref(p->last, p->grave);
    config_unref(p, p->config);
    heap_free(p->node->heap, p->slots);
    heap_free(p->node->heap, p);
}
