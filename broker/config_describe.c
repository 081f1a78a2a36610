/* What is told about settings: value, where it comes from, and what it would be without that. */
#include "broker/config_rows.h"
#include <stdlib.h>
#include <string.h>

enum { SYNONYMS_MAX = 3 * (LAYER_COUNT + 1) + 1 };

static const char *doc_of(const struct config_row *row, struct arena *a)
{
    if (row->doc)
        return row->doc;
    return arena_printf(a, "Belongs to %s, which isn't there yet; until then only the default can be given.",
                        row->later ? row->later : "what comes later");
}

static void add_synonym(struct config_described *d, const char *name, const char *value,
                        enum config_source source)
{
    if (!value)
        return;
    d->synonyms[d->n_synonyms++] =
        (struct config_synonym){.name = name, .value = d->sensitive ? NULL : value, .source = source};
}

/* The broker's settings that stand behind `id`: layer by layer, and in a layer name by name. As Kafka does, it leaves out
 * what comes before the first mention of `id` itself: log.retention.hours alone doesn't show behind log.retention.ms. */
static void add_broker_synonyms(const struct config *c, enum config_id id, struct config_described *d,
                                bool cluster_only)
{
    static const enum config_source sources[] = {CONFIG_FROM_DYNAMIC_BROKER, CONFIG_FROM_DYNAMIC_DEFAULT,
                                                 CONFIG_FROM_FILE};
    enum config_id family[3];
    int n = config_family(id, family), from = d->n_synonyms, first = from;

    for (int layer = 0; layer < LAYER_COUNT; layer++)
        for (int i = 0; i < n; i++)
            if (!cluster_only || layer == LAYER_CLUSTER)
                add_synonym(d, config_row(family[i])->name, c->text[layer][family[i]], sources[layer]);
    for (int i = 0; i < n && !cluster_only; i++)
        add_synonym(d, config_row(family[i])->name, config_row(family[i])->preset, CONFIG_FROM_DEFAULT);
    while (first < d->n_synonyms && strcmp(d->synonyms[first].name, config_row(id)->name) != 0)
        first++;
    memmove(&d->synonyms[from], &d->synonyms[first], (size_t)(d->n_synonyms - first) * sizeof(*d->synonyms));
    d->n_synonyms -= first - from;
}

static void begin(struct config_described *d, const struct config_row *row, struct arena *a)
{
    *d = (struct config_described){
        .name = row->name,
        .sensitive = row->type == CONFIG_PASSWORD,
        .type = (int8_t)row->type,
        .doc = doc_of(row, a),
        .synonyms = arena_alloc(a, SYNONYMS_MAX * sizeof(*d->synonyms)),
    };
}

static void end(struct config_described *d, const char *value)
{
    d->value = d->sensitive ? NULL : value;
    d->source = d->n_synonyms ? d->synonyms[0].source : CONFIG_FROM_DEFAULT;
}

static bool is_shown(const struct config *c, enum config_id id)
{
    return !config_is_rate(id) || c->text[LAYER_BROKER][id] || c->text[LAYER_CLUSTER][id] ||
           c->text[LAYER_FILE][id];
}

static int describe_broker(const struct config *c, bool cluster, struct arena *a,
                           struct config_described *out)
{
    int n = 0;

    for (int i = 0; i < CONFIG_COUNT; i++) {
        enum config_id id = (enum config_id)i;
        const struct config_row *row = config_row(id);
        struct config_described *d = &out[n];
        if (row->resource != CONFIG_BROKER || (cluster && !c->text[LAYER_CLUSTER][id]) || !is_shown(c, id))
            continue;
        begin(d, row, a);
        d->read_only = row->update == CONFIG_READ_ONLY || config_at_start_only(id);
        add_broker_synonyms(c, id, d, cluster);
        end(d, cluster ? c->text[LAYER_CLUSTER][id] : c->shown[id]);
        n++;
    }
    for (int i = 0; i < c->n_unknown; i++)
        if (!cluster || c->unknown[i].layer == LAYER_CLUSTER)
            out[n++] = (struct config_described){
                .name = c->unknown[i].name,
                .source = c->unknown[i].layer == LAYER_CLUSTER  ? CONFIG_FROM_DYNAMIC_DEFAULT
                          : c->unknown[i].layer == LAYER_BROKER ? CONFIG_FROM_DYNAMIC_BROKER
                                                                : CONFIG_FROM_FILE,
                .read_only = true,
                .sensitive = true,
                .doc = ""};
    return n;
}

static const struct config_entry *own_entry(const struct config_entry *own, int n, struct slice name)
{
    for (int i = 0; i < n; i++)
        if (own[i].value.p && slice_eq(own[i].name, name))
            return &own[i];
    return NULL;
}

static int describe_other(const struct config *c, enum config_resource type, const struct config_entry *own,
                          int n_own, struct arena *a, struct config_described *out)
{
    enum config_source mine = type == CONFIG_TOPIC   ? CONFIG_FROM_TOPIC
                              : type == CONFIG_GROUP ? CONFIG_FROM_GROUP
                                                     : CONFIG_FROM_CLIENT_METRICS;
    int n = 0;

    for (int i = 0; i < CONFIG_COUNT; i++) {
        enum config_id id = (enum config_id)i, broker = CONFIG_COUNT;
        const struct config_row *row = config_row(id);
        const struct config_entry *e = own_entry(own, n_own, SLICE(row->name));
        struct config_value v;
        const char *value;

        if (row->resource != type || (id == T_internal_segment_bytes && !e))
            continue;
        for (int s = 0; s < config_synonyms_count && broker == CONFIG_COUNT; s++)
            if (config_synonyms[s].of == id)
                broker = config_synonyms[s].broker;
        begin(&out[n], row, a);
        v = config_topic(c, own, n_own, id, a);
        value = config_print(row, &v, a);
        if (e)
            add_synonym(&out[n], row->name, value, mine);
        if (broker != CONFIG_COUNT)
            add_broker_synonyms(c, broker, &out[n], false);
        else if (type == CONFIG_GROUP)
            add_synonym(&out[n], row->name, row->preset, CONFIG_FROM_DEFAULT);
        end(&out[n++], value);
    }
    return n;
}

struct config_described *config_describe(const struct config *c, enum config_resource resource,
                                         bool cluster_default, const struct config_entry *own, int n,
                                         struct arena *a, int *n_out)
{
    struct config_described *out = arena_alloc(a, (size_t)(CONFIG_COUNT + c->n_unknown) * sizeof(*out));

    if (resource == CONFIG_BROKER)
        *n_out = describe_broker(c, cluster_default, a, out);
    else
        *n_out = describe_other(c, resource, own, n, a, out);
    return out;
}
