#include "tools/meta_words.h"
#include "metadata/states.h"
#include "proto/wire.h"
#include <inttypes.h>
#include <stdio.h>

#define TEXT(s) (int)(s).len, (const char *)(s).p

struct words {
    const struct image *before, *after;
    struct arena arena;
    meta_change_fn each;
    void *arg;
};

/* ---- pieces ---- */

const char *meta_ids(struct ids ids, struct arena *a)
{
    char *text = arena_alloc(a, (size_t)ids.n * 12 + 8), *at = text;

    if (ids.n <= 0)
        return "none";
    for (int i = 0; i < ids.n; i++)
        at += sprintf(at, "%s%d", i ? "," : "", ids.v[i]);
    return text;
}

const char *meta_resource(int8_t type, struct slice name, struct arena *a)
{
    const char *kind = type == CONFIG_TOPIC            ? "topic"
                       : type == CONFIG_BROKER         ? "broker"
                       : type == CONFIG_BROKER_LOGGER  ? "loggers of broker"
                       : type == CONFIG_CLIENT_METRICS ? "client metrics"
                       : type == CONFIG_GROUP          ? "group"
                                                       : NULL;

    if (type == CONFIG_BROKER && name.len == 0)
        return "all brokers";
    return kind ? arena_printf(a, "%s %.*s", kind, TEXT(name))
                : arena_printf(a, "resource %d %.*s", type, TEXT(name));
}

const char *meta_endpoints(const struct endpoint *v, int32_t n, struct arena *a)
{
    const char *text = "no endpoint";

    for (int i = 0; i < n; i++)
        text = arena_printf(a, "%s%s%.*s://%.*s:%u", i ? text : "", i ? "," : "", TEXT(v[i].name),
                            TEXT(v[i].host), v[i].port);
    return text;
}

static bool ids_eq(struct ids a, struct ids b)
{
    return a.n == b.n && (a.n <= 0 || memcmp(a.v, b.v, (size_t)a.n * sizeof(a.v[0])) == 0);
}

static const char *id_text(struct uuid id, struct arena *a)
{
    char text[UUID_TEXT_LEN + 1];

    uuid_text(id, text);
    return arena_str(a, SLICE(text));
}

static const char *text_or(struct slice s, const char *none, struct arena *a)
{
    return s.p ? arena_str(a, s) : none;
}

static void tell(struct words *w, const char *kind, const char *subject, const char *what, const char *before,
                 const char *after, const char *words)
{
    const char *head = strcmp(kind, "config") == 0 ? "config of" : kind;
    struct meta_change c = {.kind = kind, .subject = subject, .what = what, .before = before, .after = after};

    c.words = arena_printf(&w->arena, "%s%s%s: %s", head, *subject ? " " : "", subject, words);
    w->each(w->arg, &c);
}

/* "leader 1 -> 2" */
static void tell_change(struct words *w, const char *kind, const char *subject, const char *what,
                        const char *before, const char *after)
{
    tell(w, kind, subject, what, before, after, arena_printf(&w->arena, "%s %s -> %s", what, before, after));
}

/* ---- features ---- */

static void feature(void *arg, const struct image_feature *before, const struct image_feature *after)
{
    struct words *w = arg;
    struct arena *a = &w->arena;
    const char *name = arena_str(a, before ? before->name : after->name);
    const char *was = before ? arena_printf(a, "%d", before->level) : NULL;
    const char *is = after ? arena_printf(a, "%d", after->level) : NULL;

    if (before && after && before->level == after->level)
        return;
    tell(w, "feature", name, "level", was, is,
         was && is ? arena_printf(a, "level %s -> %s", was, is)
         : is      ? arena_printf(a, "finalized at level %s", is)
                   : arena_printf(a, "not finalized any more (was level %s)", was));
    arena_reset(a);
}

/* ---- brokers ---- */

static const char *endpoints_of(const struct record_register_broker *r, struct arena *a)
{
    return meta_endpoints(r->endpoints, r->n_endpoints, a);
}

static void broker_flags(struct words *w, const char *id, const struct record_register_broker *was,
                         const struct record_register_broker *is)
{
    if (was->fenced != is->fenced)
        tell(w, "broker", id, "fenced", was->fenced ? "true" : "false", is->fenced ? "true" : "false",
             is->fenced ? "fenced" : "unfenced");
    if (was->in_controlled_shutdown != is->in_controlled_shutdown)
        tell(w, "broker", id, "controlled-shutdown", was->in_controlled_shutdown ? "true" : "false",
             is->in_controlled_shutdown ? "true" : "false",
             is->in_controlled_shutdown ? "about to shut down" : "no longer about to shut down");
}

static bool uuids_eq(struct uuids a, struct uuids b)
{
    return a.n == b.n && (a.n <= 0 || memcmp(a.v, b.v, (size_t)a.n * sizeof(a.v[0])) == 0);
}

static const char *uuids_text(struct uuids ids, struct arena *a)
{
    const char *text = "none";

    for (int i = 0; i < ids.n; i++) {
        struct uuid id;

        memcpy(&id, ids.v + i, sizeof(id));
        text = arena_printf(a, "%s%s%s", i ? text : "", i ? "," : "", id_text(id, a));
    }
    return text;
}

static void broker_changed(struct words *w, const char *id, const struct record_register_broker *was,
                           const struct record_register_broker *is)
{
    struct arena *a = &w->arena;
    const char *from, *to;

    if (was->epoch != is->epoch)
        tell(w, "broker", id, "epoch", arena_printf(a, "%" PRId64, was->epoch),
             arena_printf(a, "%" PRId64, is->epoch),
             arena_printf(a, "registered again, epoch %" PRId64 " -> %" PRId64 "%s", was->epoch, is->epoch,
                          uuid_eq(was->incarnation, is->incarnation) ? "" : " (a new process)"));
    broker_flags(w, id, was, is);
    from = endpoints_of(was, a);
    to = endpoints_of(is, a);
    if (strcmp(from, to) != 0)
        tell_change(w, "broker", id, "endpoints", from, to);
    if (!slice_eq(was->rack, is->rack))
        tell_change(w, "broker", id, "rack", text_or(was->rack, "none", a), text_or(is->rack, "none", a));
    if (!uuids_eq(was->dirs, is->dirs))
        tell_change(w, "broker", id, "directories", uuids_text(was->dirs, a), uuids_text(is->dirs, a));
    if (!uuids_eq(was->cordoned, is->cordoned))
        tell_change(w, "broker", id, "cordoned", uuids_text(was->cordoned, a), uuids_text(is->cordoned, a));
}

static void broker(void *arg, const struct image_broker *before, const struct image_broker *after)
{
    struct words *w = arg;
    struct arena *a = &w->arena;
    const char *id = arena_printf(a, "%d", before ? before->reg.id : after->reg.id);

    if (before && after)
        broker_changed(w, id, &before->reg, &after->reg);
    else if (after)
        tell(w, "broker", id, "created", NULL, endpoints_of(&after->reg, a),
             arena_printf(a, "registered at %s, rack %s, epoch %" PRId64 "%s", endpoints_of(&after->reg, a),
                          text_or(after->reg.rack, "none", a), after->reg.epoch,
                          after->reg.fenced ? ", fenced" : ""));
    else
        tell(w, "broker", id, "deleted", endpoints_of(&before->reg, a), NULL,
             arena_printf(a, "unregistered (epoch %" PRId64 ")", before->reg.epoch));
    arena_reset(a);
}

static void controller(void *arg, const struct image_controller *before, const struct image_controller *after)
{
    struct words *w = arg;
    struct arena *a = &w->arena;
    const char *id = arena_printf(a, "%d", before ? before->reg.id : after->reg.id);
    const char *was = before ? meta_endpoints(before->reg.endpoints, before->reg.n_endpoints, a) : NULL;
    const char *is = after ? meta_endpoints(after->reg.endpoints, after->reg.n_endpoints, a) : NULL;

    if (!was)
        tell(w, "controller", id, "created", NULL, is, arena_printf(a, "registered at %s", is));
    else if (!is)
        tell(w, "controller", id, "deleted", was, NULL, "unregistered");
    else if (strcmp(was, is) != 0)
        tell_change(w, "controller", id, "endpoints", was, is);
    else if (!uuid_eq(before->reg.incarnation, after->reg.incarnation))
        tell(w, "controller", id, "incarnation", id_text(before->reg.incarnation, a),
             id_text(after->reg.incarnation, a), "registered again (a new process)");
    arena_reset(a);
}

/* ---- topics ---- */

static void topic(void *arg, const struct image_topic *before, const struct image_topic *after)
{
    struct words *w = arg;
    struct arena *a = &w->arena;
    const struct image_topic *t = before ? before : after;
    const char *name = arena_str(a, t->name), *id = id_text(t->id, a);

    if (!before && after->partitions.count == 0)
        tell(w, "topic", name, "created", NULL, id, arena_printf(a, "created, id %s", id));
    else if (!before)
        tell(w, "topic", name, "created", NULL, id,
             arena_printf(a, "created with %u partition%s, id %s", t->partitions.count,
                          t->partitions.count == 1 ? "" : "s", id));
    else if (!after)
        tell(w, "topic", name, "deleted", id, NULL,
             arena_printf(a, "deleted, with %u partition%s, id %s", t->partitions.count,
                          t->partitions.count == 1 ? "" : "s", id));
    else if (before->partitions.count != after->partitions.count)
        tell_change(w, "topic", name, "partitions", arena_printf(a, "%u", before->partitions.count),
                    arena_printf(a, "%u", after->partitions.count));
    arena_reset(a);
}

static const char *leader_text(int32_t id, struct arena *a)
{
    return id < 0 ? "none" : arena_printf(a, "%d", id);
}

static void partition_leader(struct words *w, const char *name, const struct record_partition *was,
                             const struct record_partition *is)
{
    struct arena *a = &w->arena;
    const char *from = leader_text(was->leader, a), *to = leader_text(is->leader, a);

    if (was->leader == is->leader && was->leader_epoch == is->leader_epoch)
        return;
    tell(w, "partition", name, "leader", from, to,
         arena_printf(a, "leader %s -> %s (leader epoch %d -> %d)%s", from, to, was->leader_epoch,
                      is->leader_epoch, is->recovering && !was->recovering ? ", elected uncleanly" : ""));
}

static void partition_lists(struct words *w, const char *name, const struct record_partition *was,
                            const struct record_partition *is)
{
    const struct {
        const char *what;
        struct ids was, is;
    } lists[] = {{"ISR", was->isr, is->isr},
                 {"replicas", was->replicas, is->replicas},
                 {"adding", was->adding, is->adding},
                 {"removing", was->removing, is->removing},
                 {"eligible leaders", was->elr, is->elr},
                 {"last known eligible leaders", was->last_elr, is->last_elr}};

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        if (!ids_eq(lists[i].was, lists[i].is))
            tell_change(w, "partition", name, lists[i].what, meta_ids(lists[i].was, &w->arena),
                        meta_ids(lists[i].is, &w->arena));
}

static void partition_changed(struct words *w, const struct image_topic *t, const char *name,
                              const struct image_partition *before, const struct image_partition *after)
{
    struct meta_record was, is;
    enum partition_state from = w->before ? partition_state(w->before, before) : PARTITION_NONEXISTENT;
    enum partition_state to = partition_state(w->after, after);

    partition_record(t, before, &was);
    partition_record(t, after, &is);
    partition_leader(w, name, &was.partition, &is.partition);
    partition_lists(w, name, &was.partition, &is.partition);
    if (was.partition.recovering && !is.partition.recovering)
        tell(w, "partition", name, "recovery", "recovering", "recovered",
             "recovered from an unclean election");
    if (!uuids_eq(was.partition.dirs, is.partition.dirs))
        tell_change(w, "partition", name, "directories", uuids_text(was.partition.dirs, &w->arena),
                    uuids_text(is.partition.dirs, &w->arena));
    if (from != to)
        tell_change(w, "partition", name, "state", partition_state_name(from), partition_state_name(to));
}

/* Partitions of a deleted topic go without words of their own. */
static void partition(void *arg, const struct image_topic *t, const struct image_partition *before,
                      const struct image_partition *after)
{
    struct words *w = arg;
    struct arena *a = &w->arena;
    const char *name = arena_printf(a, "%.*s-%d", TEXT(t->name), partition_index(before ? before : after));
    struct meta_record is;

    if (before && after) {
        partition_changed(w, t, name, before, after);
    } else if (after) {
        const char *state = partition_state_name(partition_state(w->after, after));

        partition_record(t, after, &is);
        tell(w, "partition", name, "created", NULL, state,
             arena_printf(a, "created %s: leader %s, replicas %s, ISR %s", state,
                          leader_text(is.partition.leader, a), meta_ids(is.partition.replicas, a),
                          meta_ids(is.partition.isr, a)));
    }
    arena_reset(a);
}

/* ---- configs, and what stands alone ---- */

static void config(void *arg, const struct image_config *before, const struct image_config *after)
{
    struct words *w = arg;
    struct arena *a = &w->arena;
    const struct image_config *c = before ? before : after;
    const char *of = meta_resource(c->type, c->resource, a), *name = arena_str(a, c->name);
    const char *was = before ? arena_str(a, before->value) : NULL,
               *is = after ? arena_str(a, after->value) : NULL;

    if (was && is && slice_eq(before->value, after->value))
        return;
    tell(w, "config", of, name, was, is,
         !is    ? arena_printf(a, "%s back to its default (was %s)", name, was)
         : !was ? arena_printf(a, "%s = %s (was not set)", name, is)
                : arena_printf(a, "%s = %s (was %s)", name, is, was));
    arena_reset(a);
}

/* They come and go with every request: only that they do is told, of all their pieces once. */
static void request(void *arg, const struct image_request *before, const struct image_request *after)
{
    struct words *w = arg;
    struct arena *a = &w->arena;
    const struct record_request_done *d = after ? &after->done : &before->done;
    const struct proto_api *api = proto_api(d->api_key);
    const char *name = api ? api->name : arena_printf(a, "API %d", d->api_key), *id = id_text(d->id, a);

    if (d->piece > 0)
        return;
    tell(w, "request", id, "answer", after ? NULL : name, after ? name : NULL,
         after && !d->answer.p ? arena_printf(a, "that %s was answered is known for %d ms", name, d->keep_ms)
         : after
             ? arena_printf(a, "the answer of %s is kept for %d ms, should it come again", name, d->keep_ms)
             : arena_printf(a, "the answer of %s isn't kept any more", name));
    arena_reset(a);
}

static void alone(struct words *w)
{
    struct arena *a = &w->arena;
    const char *was = w->before ? w->before->cluster_id : "", *is = w->after->cluster_id;
    int64_t from = w->before ? w->before->next_producer_id : 0, to = w->after->next_producer_id;

    if (strcmp(was, is) != 0)
        tell(w, "cluster", "", "id", *was ? was : NULL, *is ? is : NULL,
             *was ? arena_printf(a, "id %s -> %s", was, is) : arena_printf(a, "is named %s", is));
    if (from != to)
        tell_change(w, "producer-ids", "", "next", arena_printf(a, "%" PRId64, from),
                    arena_printf(a, "%" PRId64, to));
    arena_reset(a);
}

void meta_changes(const struct image *before, const struct image *after, struct heap *h, meta_change_fn each,
                  void *arg)
{
    struct words w = {.before = before, .after = after, .each = each, .arg = arg};
    const struct image_diff ops = {.feature = feature,
                                   .broker = broker,
                                   .controller = controller,
                                   .topic = topic,
                                   .partition = partition,
                                   .config = config,
                                   .request = request,
                                   .arg = &w};

    arena_init(&w.arena, h, SIZE_MAX);
    alone(&w);
    image_diff(before, after, &ops);
    arena_drop(&w.arena);
}
