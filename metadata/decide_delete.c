#include "base/check.h"
#include "metadata/decide.h"
#include "metadata/mentions.h"
#include "proto_gen.h"

/* DeleteTopics, in steps: rules and messages are Kafka's. */

typedef struct DeleteTopicsResponse_DeletableTopicResult deleted;

static deleted *delete_result(struct DeleteTopicsResponse *resp, struct slice name, struct uuid id,
                              struct api_error e)
{
    deleted *d = &resp->responses.v[resp->responses.n++];

    d->name = name;
    d->topic_id = id;
    api_error_set(e, &d->error_code, &d->error_message);
    return d;
}

/* How far it is, and how often the request names each topic in either way; negative: it was answered. */
struct deleting {
    struct mentions names;
    struct mentions ids;
    int counted;
    int at;
};

static void delete_it(const struct image_topic *t, struct DeleteTopicsResponse *resp, struct ctl_out *o)
{
    ctl_emit(o, RECORD_REMOVE_TOPIC, false)->remove_topic.id = t->id;
    o->cost++; /* its names and settings go too */
    (void)delete_result(resp, arena_copy(o->arena, t->name), t->id, API_OK);
}

/* A topic that is named in both ways stays, and the name is answered for both. */
static void delete_by_id(const struct image *tip, const struct uuid *id, struct deleting *s,
                         struct DeleteTopicsResponse *resp, struct ctl_out *o)
{
    int *count = mentions_of(&s->ids, slice_of(id->b, sizeof(id->b))), *named;
    const struct image_topic *t = image_topic_by_id(tip, *id);

    if (*count == 1 && t) {
        named = mentions_of(&s->names, t->name);
        if (!named || (*named != 1 && *named != -1))
            delete_it(t, resp, o);
    } else if (*count > 1) {
        (void)delete_result(resp, SLICE_NULL, *id, api_error(o, E_INVALID_REQUEST, "Duplicate topic id."));
    } else if (*count == 1) {
        (void)delete_result(resp, SLICE_NULL, *id,
                            api_error(o, E_UNKNOWN_TOPIC_ID, "This server does not host this topic ID."));
    }
    *count = *count < 0 ? *count : -*count;
}

static void delete_by_name(const struct image *tip, struct slice name, struct deleting *s,
                           struct DeleteTopicsResponse *resp, struct ctl_out *o)
{
    const struct uuid zero = {{0}};
    int *count = mentions_of(&s->names, name);
    const struct image_topic *t = image_topic_by_name(tip, name);

    if (*count > 1)
        (void)delete_result(resp, name, zero, api_error(o, E_INVALID_REQUEST, "Duplicate topic name."));
    else if (*count == 1 && !t)
        (void)delete_result(
            resp, name, zero,
            api_error(o, E_UNKNOWN_TOPIC_OR_PARTITION, "This server does not host this topic-partition."));
    else if (*count == 1 && mentions_of(&s->ids, slice_of(t->id.b, sizeof(t->id.b))))
        (void)delete_result(resp, name, t->id,
                            api_error(o, E_INVALID_REQUEST,
                                      "The provided topic name maps to an ID that was already supplied."));
    else if (*count == 1)
        delete_it(t, resp, o);
    *count = *count < 0 ? *count : -*count;
}

static void refuse_all(const struct DeleteTopicsRequest *req, struct DeleteTopicsResponse *resp,
                       struct api_error e)
{
    for (int i = 0; i < req->topics.n; i++)
        (void)delete_result(resp, req->topics.v[i].name, req->topics.v[i].topic_id, e);
    for (int i = 0; i < req->topic_names.n; i++)
        (void)delete_result(resp, req->topic_names.v[i], (struct uuid){{0}}, e);
}

/* NULL, or why this way of naming a topic is refused. */
static const char *badly_named(const struct DeleteTopicsRequest_DeleteTopicState *t)
{
    bool has_id = !uuid_is_zero(t->topic_id);

    if (!t->name.p && !has_id)
        return "Neither topic name nor id were specified.";
    return t->name.p && has_id ? "You may not specify both topic name and topic id." : NULL;
}

static void delete_one(const struct image *tip, const struct DeleteTopicsRequest_DeleteTopicState *t,
                       struct deleting *s, struct DeleteTopicsResponse *resp, struct ctl_out *o)
{
    const char *why = badly_named(t);

    if (why)
        (void)delete_result(resp, t->name, t->topic_id, api_error(o, E_INVALID_REQUEST, "%s", why));
    else if (t->name.p)
        delete_by_name(tip, t->name, s, resp, o);
    else
        delete_by_id(tip, &t->topic_id, s, resp, o);
}

static struct deleting *delete_begin(const struct DeleteTopicsRequest *req, struct DeleteTopicsResponse *resp,
                                     struct ctl_out *o)
{
    struct deleting *s = o->state = arena_alloc(o->arena, sizeof(*s));
    int n = req->topics.n + req->topic_names.n;

    mentions_init(&s->names, o->arena, ctl_random(o), n);
    mentions_init(&s->ids, o->arena, ctl_random(o), req->topics.n);
    PROTO_ARRAY_NEW(o->arena, DeleteTopicsResponse_DeletableTopicResult, resp->responses, n);
    resp->responses.n = 0;
    return s;
}

/* Counts on. true: all are counted. */
static bool delete_count(const struct DeleteTopicsRequest *req, struct deleting *s, struct ctl_out *o)
{
    int n = req->topics.n + req->topic_names.n;

    for (; s->counted < n && !ctl_pause(o); s->counted++) {
        const struct DeleteTopicsRequest_DeleteTopicState *t;

        o->cost += s->counted % 16 == 0;
        if (s->counted >= req->topics.n) {
            mentions_add(&s->names, req->topic_names.v[s->counted - req->topics.n]);
            continue;
        }
        t = &req->topics.v[s->counted];
        if (!badly_named(t) && t->name.p)
            mentions_add(&s->names, t->name);
        else if (!badly_named(t))
            mentions_add(&s->ids, slice_of(t->topic_id.b, sizeof(t->topic_id.b)));
    }
    return s->counted == n;
}

void decide_delete_topics(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
    const struct DeleteTopicsRequest *req = in;
    struct DeleteTopicsResponse *resp = out;
    struct deleting *s = o->state ? o->state : delete_begin(req, resp, o);
    int n = req->topics.n;

    if (!o->rules->delete_topics) {
        refuse_all(req, resp,
                   api_error_plain(o->version < 3 ? E_INVALID_REQUEST : E_TOPIC_DELETION_DISABLED));
        return;
    }
    if (!delete_count(req, s, o))
        return;
    for (; s->at < n + req->topic_names.n && !ctl_pause(o); s->at++) {
        o->cost += s->at % 8 == 0;
        if (s->at < n)
            delete_one(tip, &req->topics.v[s->at], s, resp, o);
        else
            delete_by_name(tip, req->topic_names.v[s->at - n], s, resp, o);
    }
}
