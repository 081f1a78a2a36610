/* What may become of settings while the cluster runs: Kafka's rules and its error codes. */
#include "broker/config_rows.h"
#include "metadata/controller.h"
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

static enum err no(enum err err, char *why, size_t room, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static enum err no(enum err err, char *why, size_t room, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(why, room, fmt, ap);
    va_end(ap);
    return err;
}

static const char *title(enum config_resource type)
{
    return type == CONFIG_TOPIC    ? "topic"
           : type == CONFIG_GROUP  ? "group"
           : type == CONFIG_BROKER ? "broker"
                                   : "client metrics";
}

/* The resource itself. Topics are looked up by whoever has the image. */
enum err config_check_resource(enum config_resource type, struct slice resource, char *why, size_t room)
{
    int64_t id;

    switch (type) {
    case CONFIG_TOPIC:
        return E_OK;
    case CONFIG_BROKER:
        if (resource.len > 0 && !slice_int(resource, 0, INT_MAX, &id))
            return no(E_INVALID_REQUEST, why, room,
                      "A broker's name must be its number, or empty for all brokers");
        return E_OK;
    case CONFIG_CLIENT_METRICS:
        if (resource.len == 0)
            return no(E_INVALID_REQUEST, why, room, "A client metrics subscription must have a name");
        return E_OK;
    case CONFIG_GROUP:
        if (resource.len == 0)
            return no(E_INVALID_REQUEST, why, room, "Groups have no common default: name one");
        return E_OK;
    case CONFIG_BROKER_LOGGER:
    case CONFIG_UNKNOWN:
        break;
    }
    return no(E_INVALID_REQUEST, why, room, "The controller has no settings of resource type %d", type);
}

/* Threads may at most double or halve in one step, as in Kafka. */
static const char *thread_fault(const struct config *c, enum config_id id, int64_t n)
{
    static const enum config_id threads[] = {C_num_io_threads, C_num_network_threads, C_background_threads,
                                             C_num_recovery_threads_per_data_dir, C_log_cleaner_threads};

    for (size_t i = 0; i < sizeof(threads) / sizeof(threads[0]); i++) {
        if (threads[i] != id)
            continue;
        if (n < 1)
            return "it must be at least 1";
        if (n < config_int(c, id) / 2)
            return "it must be at least half of what it is now";
        if (n > config_int(c, id) * 2 && id != C_log_cleaner_threads)
            return "it must be at most double what it is now";
    }
    return NULL;
}

/* A setting of one listener. */
static enum err check_own(const struct config *c, struct slice name, struct slice value, char *why,
                          size_t room)
{
    struct slice listener;
    enum config_own what = config_own(name, &listener);
    char reason[256];

    if (!config_own_check(what, value, reason, sizeof(reason)))
        return no(E_INVALID_REQUEST, why, room, "%.*s: %s", (int)name.len, name.p, reason);
    for (int i = 0; i < c->n_listeners; i++)
        if (slice_is_caseless(listener, c->listeners[i].name))
            return E_OK;
    return no(E_INVALID_REQUEST, why, room, "%.*s: there is no such listener", (int)name.len, name.p);
}

static enum err check_broker(const struct config *c, struct slice resource, struct slice name,
                             struct slice value, struct arena *a, char *why, size_t room)
{
    enum config_id id = config_find(CONFIG_BROKER, name);
    const struct config_row *row;
    struct config_value v;
    const char *fault = NULL;
    struct slice listener;
    char reason[512];

    if (config_own(name, &listener) != OWN_NONE)
        return check_own(c, name, value, why, room);
    if (id == CONFIG_COUNT)
        return E_OK; /* kept for those who know it, as Kafka does */
    row = config_row(id);
    if (row->update == CONFIG_READ_ONLY || config_at_start_only(id))
        return no(E_INVALID_REQUEST, why, room, "%s can't be changed while the broker runs", row->name);
    if (row->update == CONFIG_PER_BROKER && resource.len == 0 && !config_is_rate(id))
        return no(E_INVALID_REQUEST, why, room, "%s can be changed for single brokers only", row->name);
    if (!config_parse(row, value, a, &v, reason, sizeof(reason)))
        fault = reason;
    else if (row->later && !config_is_preset(row, &v, a))
        fault = "it belongs to a feature that isn't there yet";
    else if (row->type == CONFIG_INT)
        fault = thread_fault(c, id, v.i);
    if (!fault)
        return E_OK;
    return no(E_INVALID_REQUEST, why, room, "Invalid value %s for %s: %s",
              config_is_sensitive(CONFIG_BROKER, name) ? "[hidden]" : arena_str(a, value), row->name, fault);
}

static enum err check_other(enum config_resource type, struct slice name, struct slice value, struct arena *a,
                            char *why, size_t room)
{
    enum config_id id = config_find(type, name);
    enum err bad = type == CONFIG_CLIENT_METRICS ? E_INVALID_REQUEST : E_INVALID_CONFIG;
    struct config_value v;
    char reason[512];

    if (id == CONFIG_COUNT)
        return no(bad, why, room, "There is no %s setting %s", title(type), arena_str(a, name));
    if (!value.p)
        return E_OK;
    if (!config_parse(config_row(id), value, a, &v, reason, sizeof(reason)))
        return no(
            id == M_interval_ms && slice_int(slice_trim(value), INT_MIN, INT_MAX, &v.i) ? bad
                                                                                        : E_INVALID_CONFIG,
            why, room, "Invalid value %s for %s: %s", arena_str(a, value), config_row(id)->name, reason);
    if (id == T_remote_storage_enable && v.i)
        return no(E_INVALID_CONFIG, why, room, "Tiered storage is not enabled on this cluster");
    return E_OK;
}

enum err config_check(const struct config *c, enum config_resource type, struct slice resource,
                      struct slice name, struct slice value, char *why, size_t room)
{
    struct arena a;
    enum err err = config_check_resource(type, resource, why, room);

    if (err || (!value.p && type != CONFIG_CLIENT_METRICS && type != CONFIG_GROUP))
        return err; /* taking back what isn't known or can't be changed is no fault: nothing changes */
    arena_init(&a, c->heap, SIZE_MAX);
    err = type == CONFIG_BROKER ? check_broker(c, resource, name, value, &a, why, room)
                                : check_other(type, name, value, &a, why, room);
    arena_drop(&a);
    return err;
}

/* A group's setting lies between the broker's bounds for it. */
static const struct {
    enum config_id id, min, max;
} group_bounds[] = {
    {G_consumer_session_timeout_ms, C_group_consumer_min_session_timeout_ms,
     C_group_consumer_max_session_timeout_ms},
    {G_consumer_heartbeat_interval_ms, C_group_consumer_min_heartbeat_interval_ms,
     C_group_consumer_max_heartbeat_interval_ms},
    {G_consumer_assignment_interval_ms, C_group_consumer_min_assignment_interval_ms,
     C_group_consumer_max_assignment_interval_ms},
    {G_share_session_timeout_ms, C_group_share_min_session_timeout_ms, C_group_share_max_session_timeout_ms},
    {G_share_heartbeat_interval_ms, C_group_share_min_heartbeat_interval_ms,
     C_group_share_max_heartbeat_interval_ms},
    {G_share_assignment_interval_ms, C_group_share_min_assignment_interval_ms,
     C_group_share_max_assignment_interval_ms},
    {G_share_record_lock_duration_ms, C_group_share_min_record_lock_duration_ms,
     C_group_share_max_record_lock_duration_ms},
    {G_share_delivery_count_limit, C_group_share_min_delivery_count_limit,
     C_group_share_max_delivery_count_limit},
    {G_share_partition_max_record_locks, C_group_share_min_partition_max_record_locks,
     C_group_share_max_partition_max_record_locks},
    {G_streams_session_timeout_ms, C_group_streams_min_session_timeout_ms,
     C_group_streams_max_session_timeout_ms},
    {G_streams_heartbeat_interval_ms, C_group_streams_min_heartbeat_interval_ms,
     C_group_streams_max_heartbeat_interval_ms},
    {G_streams_assignment_interval_ms, C_group_streams_min_assignment_interval_ms,
     C_group_streams_max_assignment_interval_ms},
    {G_streams_num_standby_replicas, CONFIG_COUNT, C_group_streams_max_standby_replicas},
};

static enum err check_group(const struct config *c, const struct config_entry *now, int n, struct arena *a,
                            char *why, size_t room)
{
    static const enum config_id beats[][2] = {
        {G_consumer_session_timeout_ms, G_consumer_heartbeat_interval_ms},
        {G_share_session_timeout_ms, G_share_heartbeat_interval_ms},
        {G_streams_session_timeout_ms, G_streams_heartbeat_interval_ms},
    };

    for (size_t i = 0; i < sizeof(group_bounds) / sizeof(group_bounds[0]); i++) {
        enum config_id min = group_bounds[i].min, max = group_bounds[i].max;
        int64_t v = config_topic(c, now, n, group_bounds[i].id, a).i;
        const char *name = config_row(group_bounds[i].id)->name;
        if (min != CONFIG_COUNT && v < config_int(c, min))
            return no(E_INVALID_CONFIG, why, room, "%s must be at least %s", name, config_row(min)->name);
        if (v > config_int(c, max))
            return no(E_INVALID_CONFIG, why, room, "%s must be at most %s", name, config_row(max)->name);
    }
    for (size_t i = 0; i < sizeof(beats) / sizeof(beats[0]); i++)
        if (config_topic(c, now, n, beats[i][0], a).i <= config_topic(c, now, n, beats[i][1], a).i)
            return no(E_INVALID_CONFIG, why, room, "%s must be larger than %s", config_row(beats[i][0])->name,
                      config_row(beats[i][1])->name);
    return E_OK;
}

static enum err check_topic(const struct config *c, const struct config_entry *now, int n, struct arena *a,
                            char *why, size_t room)
{
    int64_t min = config_topic(c, now, n, T_min_compaction_lag_ms, a).i;
    int64_t max = config_topic(c, now, n, T_max_compaction_lag_ms, a).i;

    if (min > max)
        return no(E_INVALID_CONFIG, why, room,
                  "min.compaction.lag.ms (%lld) must not be above max.compaction.lag.ms (%lld)",
                  (long long)min, (long long)max);
    return E_OK;
}

/* The broker as it would be, against the rules between its settings. */
static enum err check_brokers(const struct config *c, struct slice resource, const struct config_entry *now,
                              int n, char *why, size_t room)
{
    enum config_layer kept = resource.len ? LAYER_CLUSTER : LAYER_BROKER;
    struct config_entry *other = heap_alloc(c->heap, CONFIG_COUNT * sizeof(*other));
    struct config *trial;
    int n_other = 0;
    bool ok;

    for (int id = 0; id < CONFIG_COUNT; id++)
        if (c->text[kept][id])
            other[n_other++] = (struct config_entry){.name = SLICE(config_row((enum config_id)id)->name),
                                                     .value = SLICE(c->text[kept][id])};
    trial = resource.len ? config_with(c, other, n_other, now, n) : config_with(c, now, n, other, n_other);
    ok = config_agrees(trial, why, room);
    config_drop(trial);
    heap_free(c->heap, other);
    return ok ? E_OK : E_INVALID_REQUEST;
}

enum err config_check_all(const struct config *c, enum config_resource type, struct slice resource,
                          const struct slice *names, const struct slice *values, int n, char *why,
                          size_t room)
{
    struct config_entry *now;
    struct arena a;
    enum err err = config_check_resource(type, resource, why, room);

    if (err)
        return err;
    arena_init(&a, c->heap, SIZE_MAX);
    now = arena_alloc(&a, (size_t)(n + 1) * sizeof(*now));
    for (int i = 0; i < n; i++)
        now[i] = (struct config_entry){.name = names[i], .value = values[i]};
    if (type == CONFIG_TOPIC)
        err = check_topic(c, now, n, &a, why, room);
    else if (type == CONFIG_GROUP)
        err = check_group(c, now, n, &a, why, room);
    else if (type == CONFIG_BROKER)
        err = check_brokers(c, resource, now, n, why, room);
    arena_drop(&a);
    return err;
}
