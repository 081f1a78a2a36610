#include "tools/meta_tree.h"
#include "base/check.h"
#include "tools/commands.h"
#include "tools/meta_point.h"
#include "tools/meta_print.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum kind {
    ROOT,
    IMAGE,
    LOCAL,
    CLUSTER,
    BROKERS,
    CONTROLLERS,
    FEATURE_DIR,
    TOPICS,
    BY_NAME,
    BY_ID,
    CONFIGS,
    PRODUCER_IDS,
    REQUESTS,
    TOPIC_BY_NAME, /* below here: of the image's things */
    TOPIC_BY_ID,
    RESOURCE,
    VERSION, /* below here: files */
    PROVENANCE,
    CLUSTER_ID,
    NEXT_PRODUCER_ID,
    TOPIC_NAME,
    TOPIC_ID,
    PARTITION,
    BROKER,
    CONTROLLER,
    FEATURE,
    CONFIG,
    REQUEST
};

/* What is always there. */
static const struct {
    enum kind parent;
    const char *name;
    enum kind kind;
} fixed[] = {{ROOT, "image", IMAGE},
             {ROOT, "local", LOCAL},
             {LOCAL, "version", VERSION},
             {IMAGE, "cluster", CLUSTER},
             {IMAGE, "configs", CONFIGS},
             {IMAGE, "features", FEATURE_DIR},
             {IMAGE, "producerIds", PRODUCER_IDS},
             {IMAGE, "provenance", PROVENANCE},
             {IMAGE, "requests", REQUESTS},
             {IMAGE, "topics", TOPICS},
             {CLUSTER, "brokers", BROKERS},
             {CLUSTER, "controllers", CONTROLLERS},
             {CLUSTER, "id", CLUSTER_ID},
             {TOPICS, "byId", BY_ID},
             {TOPICS, "byName", BY_NAME},
             {PRODUCER_IDS, "nextProducerId", NEXT_PRODUCER_ID},
             {TOPIC_BY_NAME, "id", TOPIC_ID},
             {TOPIC_BY_ID, "name", TOPIC_NAME}};

enum { FIXED_N = sizeof(fixed) / sizeof(fixed[0]) };

static struct tree_node node(enum kind kind)
{
    return (struct tree_node){.kind = kind, .directory = kind < VERSION};
}

struct tree_node tree_root(void)
{
    return node(ROOT);
}

/* ---- names ---- */

static const char *encode(struct slice name, struct bytes *to)
{
    to->len = 0;
    for (size_t i = 0; i < name.len; i++) {
        if (name.p[i] == '/' || name.p[i] == '%' || name.p[i] < ' ' || name.p[i] == 0x7f)
            bytes_printf(to, "%%%02X", name.p[i]);
        else
            bytes_add(to, &name.p[i], 1);
    }
    bytes_add(to, "", 1);
    to->len--;
    return (char *)to->p;
}

static const char *resource_name(const struct image_config *c, struct bytes *to)
{
    const char *type = c->type == CONFIG_TOPIC            ? "TOPIC"
                       : c->type == CONFIG_BROKER         ? "BROKER"
                       : c->type == CONFIG_BROKER_LOGGER  ? "BROKER_LOGGER"
                       : c->type == CONFIG_CLIENT_METRICS ? "CLIENT_METRICS"
                       : c->type == CONFIG_GROUP          ? "GROUP"
                                                          : "UNKNOWN";
    struct bytes text;

    if (c->resource.len == 0)
        return encode(SLICE(type), to);
    bytes_init(&text, to->heap);
    bytes_printf(&text, "%s:", type);
    bytes_add(&text, c->resource.p, c->resource.len);
    encode(bytes_slice(&text), to);
    bytes_drop(&text);
    return (char *)to->p;
}

/* ---- walking ---- */

struct listing {
    const struct image *image;
    struct bytes name; /* of the child that is told */
    tree_fn each;
    void *arg;
};

static bool tell(struct listing *l, struct slice name, struct tree_node n)
{
    return l->each(l->arg, encode(name, &l->name), &n);
}

static bool tell_number(struct listing *l, int32_t number, struct tree_node n)
{
    char text[16];

    (void)snprintf(text, sizeof(text), "%d", number);
    return l->each(l->arg, text, &n);
}

static void list_topics(struct listing *l, enum kind kind)
{
    struct image_topics w = image_topics_from(l->image, SLICE_NULL);
    struct tree_node n = node(kind);
    char id[UUID_TEXT_LEN + 1];

    while ((n.topic = image_topics_next(&w))) {
        uuid_text(n.topic->id, id);
        if (!tell(l, kind == TOPIC_BY_ID ? SLICE(id) : n.topic->name, n))
            return;
    }
}

static void list_partitions(struct listing *l, const struct image_topic *t)
{
    struct image_partitions w = image_partitions_from(t, 0);
    struct tree_node n = node(PARTITION);

    n.topic = t;
    while ((n.partition = image_partitions_next(&w)))
        if (!tell_number(l, partition_index(n.partition), n))
            return;
}

static void list_brokers(struct listing *l)
{
    struct image_brokers w = image_brokers_all(l->image);
    struct tree_node n = node(BROKER);

    while ((n.broker = image_brokers_next(&w)))
        if (!tell_number(l, n.broker->reg.id, n))
            return;
}

static void list_controllers(struct listing *l)
{
    struct image_controllers w = image_controllers_all(l->image);
    struct tree_node n = node(CONTROLLER);

    while ((n.controller = image_controllers_next(&w)))
        if (!tell_number(l, n.controller->reg.id, n))
            return;
}

static void list_features(struct listing *l)
{
    struct image_features w = image_features_all(l->image);
    struct tree_node n = node(FEATURE);

    while ((n.feature = image_features_next(&w)))
        if (!tell(l, n.feature->name, n))
            return;
}

static bool same_resource(const struct image_config *a, const struct image_config *b)
{
    return a->type == b->type && slice_eq(a->resource, b->resource);
}

static void list_resources(struct listing *l)
{
    struct image_configs w = image_configs_all(l->image);
    const struct image_config *last = NULL;
    struct tree_node n = node(RESOURCE);

    while ((n.config = image_configs_next(&w))) {
        if (last && same_resource(last, n.config))
            continue;
        last = n.config;
        if (!l->each(l->arg, resource_name(n.config, &l->name), &n))
            return;
    }
}

static void list_configs(struct listing *l, const struct image_config *of)
{
    struct image_configs w = image_configs_of(l->image, (enum config_resource)of->type, of->resource);
    struct tree_node n = node(CONFIG);

    while ((n.config = image_configs_next(&w)))
        if (!tell(l, n.config->name, n))
            return;
}

static void list_requests(struct listing *l)
{
    struct image_requests w = image_requests_all(l->image);
    struct tree_node n = node(REQUEST);
    char id[UUID_TEXT_LEN + 1];

    while ((n.request = image_requests_next(&w))) {
        uuid_text(n.request->done.id, id);
        if (n.request->done.piece == 0 && !tell(l, SLICE(id), n))
            return;
    }
}

static void list_own(struct listing *l, const struct tree_node *dir)
{
    switch ((enum kind)dir->kind) {
    case BROKERS:
        list_brokers(l);
        break;
    case CONTROLLERS:
        list_controllers(l);
        break;
    case FEATURE_DIR:
        list_features(l);
        break;
    case BY_NAME:
        list_topics(l, TOPIC_BY_NAME);
        break;
    case BY_ID:
        list_topics(l, TOPIC_BY_ID);
        break;
    case TOPIC_BY_NAME:
    case TOPIC_BY_ID:
        list_partitions(l, dir->topic);
        break;
    case CONFIGS:
        list_resources(l);
        break;
    case RESOURCE:
        list_configs(l, dir->config);
        break;
    case REQUESTS:
        list_requests(l);
        break;
    default:
        break;
    }
}

void tree_children(const struct tree *t, const struct tree_node *dir, tree_fn each, void *arg)
{
    struct listing l = {.image = t->image, .each = each, .arg = arg};
    bool go = true;

    for (int k = 0; k < FIXED_N && go; k++) {
        struct tree_node n = node(fixed[k].kind);

        n.topic = dir->topic;
        if ((int)fixed[k].parent == dir->kind)
            go = each(arg, fixed[k].name, &n);
    }
    bytes_init(&l.name, t->heap);
    if (go)
        list_own(&l, dir);
    bytes_drop(&l.name);
}

/* ---- looking up ---- */

struct search {
    const char *name;
    struct tree_node *out;
    bool found;
};

static bool compare(void *arg, const char *name, const struct tree_node *n)
{
    struct search *s = arg;

    if (strcmp(name, s->name) != 0)
        return true;
    *s->out = *n;
    s->found = true;
    return false;
}

static bool number_parse(const char *name, int32_t *out)
{
    size_t len = strlen(name);

    *out = (int32_t)strtol(name, NULL, 10);
    return len > 0 && len < 10 && strspn(name, "0123456789") == len;
}

/* Where there may be a million children. */
static bool child_directly(const struct tree *t, const struct tree_node *dir, const char *name,
                           struct tree_node *out)
{
    struct uuid id;
    int32_t n;

    if (dir->kind == BY_NAME) {
        *out = node(TOPIC_BY_NAME);
        out->topic = image_topic_by_name(t->image, SLICE(name));
        return out->topic != NULL;
    }
    if (dir->kind == BY_ID && uuid_parse(SLICE(name), &id)) {
        *out = node(TOPIC_BY_ID);
        out->topic = image_topic_by_id(t->image, id);
        return out->topic != NULL;
    }
    if ((dir->kind == TOPIC_BY_NAME || dir->kind == TOPIC_BY_ID) && number_parse(name, &n)) {
        *out = node(PARTITION);
        out->topic = dir->topic;
        out->partition = image_partition(dir->topic, n);
        return out->partition != NULL;
    }
    return false;
}

bool tree_child(const struct tree *t, const struct tree_node *dir, const char *name, struct tree_node *out)
{
    struct search s = {.name = name, .out = out};

    if (child_directly(t, dir, name, out))
        return true;
    if (dir->directory)
        tree_children(t, dir, compare, &s);
    return s.found;
}

void tree_path(const char *cwd, const char *path, struct bytes *out)
{
    const char *parts[] = {*path == '/' ? "" : cwd, path};

    out->len = 0;
    for (int i = 0; i < 2; i++) {
        for (const char *at = parts[i]; *at;) {
            size_t len = strcspn(at, "/");

            if (len == 2 && memcmp(at, "..", 2) == 0) {
                while (out->len > 0 && out->p[--out->len] != '/')
                    ;
            } else if (len > 0 && !(len == 1 && *at == '.')) {
                bytes_add(out, "/", 1);
                bytes_add(out, at, len);
            }
            at += len + (at[len] == '/');
        }
    }
    if (out->len == 0)
        bytes_add(out, "/", 1);
    bytes_add(out, "", 1);
    out->len--;
}

bool tree_find(const struct tree *t, const char *path, struct tree_node *out)
{
    struct bytes name;
    bool found = true;

    *out = tree_root();
    bytes_init(&name, t->heap);
    for (const char *at = path + 1; *path && *at && found;) {
        struct tree_node child;
        size_t len = strcspn(at, "/");

        name.len = 0;
        bytes_add(&name, at, len);
        bytes_add(&name, "", 1);
        found = tree_child(t, out, (char *)name.p, &child);
        if (found)
            *out = child;
        at += len + (at[len] == '/');
    }
    bytes_drop(&name);
    return found;
}

/* ---- content ---- */

static void cat_json(const struct tree *t, const struct tree_node *f, struct bytes *out)
{
    struct json j = {.out = out};

    if (f->kind == PARTITION)
        meta_json_partition(&j, NULL, t->image, f->partition);
    else if (f->kind == CONTROLLER)
        meta_json_controller(&j, NULL, f->controller);
    else if (f->kind == REQUEST)
        meta_json_request(&j, NULL, f->request);
    else
        meta_json_broker(&j, NULL, f->broker);
    bytes_printf(out, "\n");
}

void tree_cat(const struct tree *t, const struct tree_node *f, struct bytes *out)
{
    char text[UUID_TEXT_LEN + META_TIME_LEN + 1];

    switch ((enum kind)f->kind) {
    case VERSION:
        bytes_printf(out, "%s\n", WEIR_VERSION_TEXT);
        break;
    case PROVENANCE:
        bytes_printf(out, "offset %" PRId64 ", epoch %d, %s\n", t->image->offset, t->image->epoch,
                     meta_time(t->image->append_ms, text));
        break;
    case CLUSTER_ID:
        bytes_printf(out, "%s\n", t->image->cluster_id);
        break;
    case NEXT_PRODUCER_ID:
        bytes_printf(out, "%" PRId64 "\n", t->image->next_producer_id);
        break;
    case TOPIC_NAME:
        bytes_add(out, f->topic->name.p, f->topic->name.len);
        bytes_printf(out, "\n");
        break;
    case TOPIC_ID:
        uuid_text(f->topic->id, text);
        bytes_printf(out, "%s\n", text);
        break;
    case PARTITION:
    case BROKER:
    case CONTROLLER:
    case REQUEST:
        cat_json(t, f, out);
        break;
    case FEATURE:
        bytes_printf(out, "%d\n", f->feature->level);
        break;
    case CONFIG:
        bytes_add(out, f->config->value.p, f->config->value.len);
        bytes_printf(out, "\n");
        break;
    default:
        ASSERT(!f->directory);
    }
}
