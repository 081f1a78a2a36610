/* Values in force: layers laid over each other, and how code asks for them. */
#include "base/check.h"
#include "broker/config_rows.h"
#include "log/log.h"
#include <limits.h>
#include <stdlib.h>

struct config *config_new(struct heap *h)
{
    struct config *c = heap_alloc(h, sizeof(*c));

    c->heap = h;
    arena_init(&c->arena, h, SIZE_MAX);
    return c;
}

void config_drop(struct config *c)
{
    if (!c)
        return;
    arena_drop(&c->arena);
    heap_free(c->heap, c);
}

/* Connections are accepted where the start opened them. */
bool config_at_start_only(enum config_id id)
{
    return id == C_listeners || id == C_listener_security_protocol_map;
}

void config_put(struct config *c, enum config_layer layer, struct slice name, struct slice value)
{
    enum config_id id = config_find(CONFIG_BROKER, name);
    const char *text = arena_str(&c->arena, value.p ? value : SLICE(""));
    struct config_unknown *grown;

    if (id != CONFIG_COUNT) {
        c->text[layer][id] = value.p ? text : NULL;
        return;
    }
    if (c->n_unknown == c->unknown_room) {
        c->unknown_room = 2 * c->unknown_room + 8;
        grown = arena_alloc(&c->arena, (size_t)c->unknown_room * sizeof(*grown));
        if (c->n_unknown)
            memcpy(grown, c->unknown, (size_t)c->n_unknown * sizeof(*grown));
        c->unknown = grown;
    }
    c->unknown[c->n_unknown++] =
        (struct config_unknown){.name = arena_str(&c->arena, name), .value = text, .layer = layer};
}

static int by_layer_and_name(const void *a, const void *b)
{
    const struct config_unknown *x = *(const struct config_unknown *const *)a;
    const struct config_unknown *y = *(const struct config_unknown *const *)b;
    int order = x->layer != y->layer ? (int)x->layer - (int)y->layer : strcmp(x->name, y->name);

    return order ? order : (x > y) - (x < y); /* of twins the later one behind */
}

/* Of a name that was put twice in a layer the last value counts, in the place of the first. A request may bring a hundred
 * thousand of them, so they are sorted, not looked for one by one. */
static void settle_unknown(struct config *c)
{
    struct config_unknown **sorted = heap_alloc(c->heap, ((size_t)c->n_unknown + 1) * sizeof(*sorted));
    int n = 0;

    for (int i = 0; i < c->n_unknown; i++)
        sorted[i] = &c->unknown[i];
    qsort(sorted, (size_t)c->n_unknown, sizeof(struct config_unknown *), by_layer_and_name);
    for (int i = 1, first = 0; i < c->n_unknown; i++) {
        if (sorted[i]->layer != sorted[first]->layer || strcmp(sorted[i]->name, sorted[first]->name) != 0) {
            first = i;
            continue;
        }
        sorted[first]->value = sorted[i]->value;
        sorted[i]->name = NULL;
    }
    for (int i = 0; i < c->n_unknown; i++)
        if (c->unknown[i].name)
            c->unknown[n++] = c->unknown[i];
    c->n_unknown = n;
    heap_free(c->heap, sorted);
}

static void resolve_broker(struct config *c, enum config_id id)
{
    const struct config_row *row = config_row(id);
    bool fixed = row->update == CONFIG_READ_ONLY || config_at_start_only(id);
    char why[256];

    for (int layer = fixed ? LAYER_FILE : 0; layer < LAYER_COUNT; layer++)
        if (c->text[layer][id] &&
            config_parse(row, SLICE(c->text[layer][id]), &c->arena, &c->value[id], why, sizeof(why)))
            return;
    c->value[id] = (struct config_value){.null = true};
    if (row->preset)
        ASSERT(config_parse(row, SLICE(row->preset), &c->arena, &c->value[id], why, sizeof(why)));
}

/* What a topic or group gets where it says nothing: the first synonym that isn't null, else the row's
 * default. */
static void resolve_other(struct config *c, enum config_id id)
{
    const struct config_row *row = config_row(id);
    char why[256];

    for (int i = 0; i < config_synonyms_count; i++) {
        const struct config_synonym_row *s = &config_synonyms[i];
        if (s->of != id || c->value[s->broker].null)
            continue;
        c->value[id] = c->value[s->broker];
        if (s->factor != 1)
            c->value[id].i *= s->factor;
        if (id == T_retention_ms && c->value[id].i < 0)
            c->value[id].i = -1;
        return;
    }
    c->value[id] = (struct config_value){.null = true};
    if (row->preset)
        ASSERT(config_parse(row, SLICE(row->preset), &c->arena, &c->value[id], why, sizeof(why)));
}

void config_resolve(struct config *c)
{
    settle_unknown(c);
    for (int id = 0; id < CONFIG_COUNT; id++)
        if (config_row((enum config_id)id)->resource == CONFIG_BROKER)
            resolve_broker(c, (enum config_id)id);
    for (int id = 0; id < CONFIG_COUNT; id++)
        if (config_row((enum config_id)id)->resource != CONFIG_BROKER)
            resolve_other(c, (enum config_id)id);
    for (int id = 0; id < CONFIG_COUNT; id++)
        c->shown[id] = config_print(config_row((enum config_id)id), &c->value[id], &c->arena);
}

struct config *config_with(const struct config *c, const struct config_entry *cluster, int n_cluster,
                           const struct config_entry *broker, int n_broker)
{
    struct config *w = config_new(c->heap);
    char why[256];

    for (int id = 0; id < CONFIG_COUNT; id++)
        if (c->text[LAYER_FILE][id])
            w->text[LAYER_FILE][id] = arena_str(&w->arena, SLICE(c->text[LAYER_FILE][id]));
    for (int i = 0; i < c->n_unknown; i++)
        if (c->unknown[i].layer == LAYER_FILE)
            config_put(w, LAYER_FILE, SLICE(c->unknown[i].name), SLICE(c->unknown[i].value));
    for (int i = 0; i < n_cluster; i++)
        config_put(w, LAYER_CLUSTER, cluster[i].name, cluster[i].value);
    for (int i = 0; i < n_broker; i++)
        config_put(w, LAYER_BROKER, broker[i].name, broker[i].value);
    config_resolve(w);
    if (!config_listeners_resolve(w, why, sizeof(why)))
        w->n_listeners = 0; /* only where c had none either: they come from the file alone */
    return w;
}

static const struct config_value *value_of(const struct config *c, enum config_id id)
{
    ASSERT(id < CONFIG_COUNT);
    return &c->value[id];
}

int64_t config_int(const struct config *c, enum config_id id)
{
    enum config_type type = config_row(id)->type;

    ASSERT(type == CONFIG_INT || type == CONFIG_LONG || type == CONFIG_SHORT);
    ASSERT(!value_of(c, id)->null);
    return value_of(c, id)->i;
}

bool config_bool(const struct config *c, enum config_id id)
{
    ASSERT(config_row(id)->type == CONFIG_BOOLEAN && !value_of(c, id)->null);
    return value_of(c, id)->i != 0;
}

double config_double(const struct config *c, enum config_id id)
{
    ASSERT(config_row(id)->type == CONFIG_DOUBLE && !value_of(c, id)->null);
    return value_of(c, id)->d;
}

const char *config_str(const struct config *c, enum config_id id)
{
    enum config_type type = config_row(id)->type;

    ASSERT(type == CONFIG_STRING || type == CONFIG_CLASS || type == CONFIG_PASSWORD);
    return value_of(c, id)->null ? NULL : value_of(c, id)->s;
}

struct config_list config_list(const struct config *c, enum config_id id)
{
    ASSERT(config_row(id)->type == CONFIG_LIST);
    return value_of(c, id)->null ? (struct config_list){0} : value_of(c, id)->list;
}

bool config_is_null(const struct config *c, enum config_id id)
{
    return value_of(c, id)->null;
}

bool config_is_given(const struct config *c, enum config_id id)
{
    for (int layer = 0; layer < LAYER_COUNT; layer++)
        if (c->text[layer][id])
            return true;
    return false;
}

const struct config_listener *config_listeners(const struct config *c, int *n)
{
    *n = c->n_listeners;
    return c->listeners;
}

static bool has_role(const struct config *c, const char *role)
{
    struct config_list roles = config_list(c, C_process_roles);

    for (int i = 0; i < roles.n; i++)
        if (strcmp(roles.v[i], role) == 0)
            return true;
    return false;
}

bool config_serves(const struct config *c)
{
    return has_role(c, "broker");
}

bool config_controls(const struct config *c)
{
    return has_role(c, "controller");
}

const struct config_voter *config_voters(const struct config *c, int *n)
{
    *n = c->n_voters;
    return c->voters;
}

struct config_list config_log_dirs(const struct config *c)
{
    return config_list(c, config_is_null(c, C_log_dirs) ? C_log_dir : C_log_dirs);
}

const char *config_metadata_dir(const struct config *c)
{
    const char *own = config_str(c, C_metadata_log_dir);

    return own ? own : config_log_dirs(c).v[0];
}

int64_t config_request_budget(const struct config *c)
{
    int64_t bytes = config_int(c, C_queued_max_request_bytes);

    return bytes > 0 ? bytes : config_int(c, C_queued_request_budget_bytes);
}

struct config_value config_topic(const struct config *c, const struct config_entry *own, int n,
                                 enum config_id id, struct arena *a)
{
    const struct config_row *row = config_row(id);
    struct config_value v;
    char why[256];

    for (int i = 0; i < n; i++)
        if (own[i].value.p && slice_is(own[i].name, row->name) &&
            config_parse(row, own[i].value, a, &v, why, sizeof(why)))
            return v;
    return *value_of(c, id);
}

static void log_codec(const struct config *c, const struct config_entry *own, int n, struct arena *a,
                      struct log_config *out)
{
    const char *type = config_topic(c, own, n, T_compression_type, a).s;
    int64_t level = INT_MIN;

    out->recompress = strcmp(type, "producer") != 0;
    out->codec = CODEC_NONE;
    if (out->recompress && strcmp(type, "uncompressed") != 0)
        ASSERT(codec_find(SLICE(type), &out->codec));
    if (out->codec == CODEC_GZIP && config_topic(c, own, n, T_compression_gzip_level, a).i != -1)
        level = config_topic(c, own, n, T_compression_gzip_level, a).i;
    else if (out->codec == CODEC_LZ4)
        level = config_topic(c, own, n, T_compression_lz4_level, a).i;
    else if (out->codec == CODEC_ZSTD)
        level = config_topic(c, own, n, T_compression_zstd_level, a).i;
    out->codec_level = (int)level;
}

void config_log(const struct config *c, const struct config_entry *own, int n, struct log_config *out)
{
    struct arena a;
    struct config_value v;
    struct config_list policy;

    arena_init(&a, c->heap, SIZE_MAX);
#define TOPIC_INT(id) config_topic(c, own, n, T_##id, &a).i
    *out = (struct log_config){
        .segment_bytes = (int32_t)TOPIC_INT(segment_bytes),
        .segment_index_bytes = (int32_t)TOPIC_INT(segment_index_bytes),
        .index_interval_bytes = (int32_t)TOPIC_INT(index_interval_bytes),
        .max_message_bytes = (int32_t)TOPIC_INT(max_message_bytes),
        .segment_ms = TOPIC_INT(segment_ms),
        .segment_jitter_ms = TOPIC_INT(segment_jitter_ms),
        .retention_ms = TOPIC_INT(retention_ms),
        .retention_bytes = TOPIC_INT(retention_bytes),
        .file_delete_delay_ms = TOPIC_INT(file_delete_delay_ms),
        .flush_messages = TOPIC_INT(flush_messages),
        .flush_ms = TOPIC_INT(flush_ms),
        .delete_retention_ms = TOPIC_INT(delete_retention_ms),
        .min_compaction_lag_ms = TOPIC_INT(min_compaction_lag_ms),
        .max_compaction_lag_ms = TOPIC_INT(max_compaction_lag_ms),
        .timestamp_before_max_ms = TOPIC_INT(message_timestamp_before_max_ms),
        .timestamp_after_max_ms = TOPIC_INT(message_timestamp_after_max_ms),
        .min_cleanable_dirty_ratio = config_topic(c, own, n, T_min_cleanable_dirty_ratio, &a).d,
        .append_time = strcmp(config_topic(c, own, n, T_message_timestamp_type, &a).s, "LogAppendTime") == 0,
        .preallocate = TOPIC_INT(preallocate) != 0,
        .durable = TOPIC_INT(log_durable) != 0,
    };
#undef TOPIC_INT
    v = config_topic(c, own, n, T_internal_segment_bytes, &a);
    if (!v.null)
        out->segment_bytes = (int32_t)v.i;
    policy = config_topic(c, own, n, T_cleanup_policy, &a).list;
    for (int i = 0; i < policy.n; i++) {
        out->cleanup_delete |= strcmp(policy.v[i], "delete") == 0;
        out->cleanup_compact |= strcmp(policy.v[i], "compact") == 0;
    }
    log_codec(c, own, n, &a, out);
    arena_drop(&a);
}
