#include "broker/config_rows.h"
#include "base/check.h"
#include <math.h>
#include <stdlib.h>

#define ANY                      .min = -INFINITY, .max = INFINITY
#define AT_LEAST(n)              .min = (n), .max = INFINITY
#define BETWEEN(a, b)            .min = (double)(a), .max = (double)(b)
#define RULE(r)                  ANY, .rules = (r)
#define ONE_OF(w)                ANY, .words = (w)
#define ONE_OF_CASELESS(w)       ANY, .words = (w), .rules = CASELESS
#define LIST_OF(w, r)            ANY, .words = (w), .rules = (r)
#define WORKS                    .later = NULL
#define LATER(feature)           .later = (feature)
#define IDLE(why)                .idle = (why)
#define BUILTIN(values, feature) .builtin = (values), .later = (feature)
#define FIELDS_(n, t, p, i, u, d)                                                                            \
    .name = (n), .type = CONFIG_##t, .preset = (p), .importance = CONFIG_##i, .update = CONFIG_##u, .doc = (d)
#define BROKER(id, n, t, p, i, u, check, state, d)                                                           \
    [C_##id] = {.resource = CONFIG_BROKER, FIELDS_(n, t, p, i, u, d), check, state},
#define TOPIC(id, n, t, p, i, u, check, state, d)                                                            \
    [T_##id] = {.resource = CONFIG_TOPIC, FIELDS_(n, t, p, i, u, d), check, state},
#define GROUP(id, n, t, p, i, u, check, state, d)                                                            \
    [G_##id] = {.resource = CONFIG_GROUP, FIELDS_(n, t, p, i, u, d), check, state},
#define METRICS(id, n, t, p, i, u, check, state, d)                                                          \
    [M_##id] = {.resource = CONFIG_CLIENT_METRICS, FIELDS_(n, t, p, i, u, d), check, state},
static const struct config_row rows[CONFIG_COUNT] = {
#include "broker/config.def"
};
#undef BROKER
#undef TOPIC
#undef GROUP
#undef METRICS

#define BROKER(...)
#define TOPIC(...)
#define GROUP(...)
#define METRICS(...)
#define SYNONYM(id, by, times) {.of = (id), .broker = (by), .factor = (times)},
const struct config_synonym_row config_synonyms[] = {
#include "broker/config.def"
};
const int config_synonyms_count = sizeof(config_synonyms) / sizeof(config_synonyms[0]);

const struct config_row *config_row(enum config_id id)
{
    ASSERT(id < CONFIG_COUNT);
    return &rows[id];
}

/* By halves, because a request may name a hundred thousand. Rows of a resource stand together, in the order of their
 * names: a test finds each of them. */
enum config_id config_find(enum config_resource resource, struct slice name)
{
    static const struct {
        enum config_resource of;
        int from, to;
    } parts[] = {
        {CONFIG_BROKER, 0, T_cleanup_policy},
        {CONFIG_TOPIC, T_cleanup_policy, G_consumer_assignment_interval_ms},
        {CONFIG_GROUP, G_consumer_assignment_interval_ms, M_interval_ms},
        {CONFIG_CLIENT_METRICS, M_interval_ms, CONFIG_COUNT},
    };
    int low = 0, high = 0;

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (parts[i].of == resource) {
            low = parts[i].from;
            high = parts[i].to;
        }
    while (low < high) {
        int mid = low + (high - low) / 2, order = slice_cmp(name, SLICE(rows[mid].name));

        if (order == 0)
            return (enum config_id)mid;
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return CONFIG_COUNT;
}

int config_family(enum config_id id, enum config_id to[3])
{
    static const enum config_id families[][3] = {
        {C_log_roll_ms, C_log_roll_hours, CONFIG_COUNT},
        {C_log_roll_jitter_ms, C_log_roll_jitter_hours, CONFIG_COUNT},
        {C_log_retention_ms, C_log_retention_minutes, C_log_retention_hours},
    };

    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
        for (int j = 0; j < 3; j++)
            if (families[i][j] == id) {
                memcpy(to, families[i], sizeof(families[i]));
                return families[i][2] == CONFIG_COUNT ? 2 : 3;
            }
    /* One way only: the scheduler's interval stands in for the flush interval. */
    to[0] = id;
    to[1] = C_log_flush_scheduler_interval_ms;
    return id == C_log_flush_interval_ms ? 2 : 1;
}

/* Levenshtein's distance, up to a limit that no name passes. */
static int distance(struct slice a, const char *b)
{
    enum { NAME_MAX_ = 100 };
    int len = (int)strlen(b), row[NAME_MAX_ + 1];

    if (len > NAME_MAX_ || a.len > NAME_MAX_)
        return NAME_MAX_;
    for (int j = 0; j <= len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (int j = 1; j <= len; j++) {
            int change = diagonal + (a.p[i - 1] != (uint8_t)b[j - 1]);
            int least = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            diagonal = row[j];
            row[j] = change < least ? change : least;
        }
    }
    return row[len];
}

const char *config_nearest(struct slice name)
{
    const char *best = NULL;
    int best_at = (int)name.len / 3 + 1;

    for (int id = 0; id < CONFIG_COUNT; id++) {
        if (rows[id].resource != CONFIG_BROKER)
            continue;
        int d = distance(name, rows[id].name);
        if (d < best_at) {
            best_at = d;
            best = rows[id].name;
        }
    }
    return best;
}

static enum config_id find_or_none(enum config_resource resource, struct slice name)
{
    return name.p ? config_find(resource, name) : CONFIG_COUNT;
}

bool config_is_rate(enum config_id id)
{
    return id == C_leader_replication_throttled_rate || id == C_follower_replication_throttled_rate ||
           id == C_replica_alter_log_dirs_io_max_bytes_per_second;
}

bool config_is_list(enum config_resource resource, struct slice name)
{
    enum config_id id = find_or_none(resource, name);
    return id != CONFIG_COUNT && rows[id].type == CONFIG_LIST;
}

const char *config_default(enum config_resource resource, struct slice name)
{
    enum config_id id = find_or_none(resource, name);
    return id == CONFIG_COUNT ? NULL : rows[id].preset;
}

bool config_is_sensitive(enum config_resource resource, struct slice name)
{
    enum config_id id = find_or_none(resource, name);
    return id == CONFIG_COUNT ? resource == CONFIG_BROKER : rows[id].type == CONFIG_PASSWORD;
}
