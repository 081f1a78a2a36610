/* Settings: Kafka's names, types, defaults and rules, a row each in config.def.
 *
 *   struct config      defaults < server.properties and --set < dynamic for the cluster < for this broker
 *   struct log_config  defaults < the broker's synonyms (log.retention.hours …) < the topic's own
 *
 * Loop:   a struct config never changes once it is made: any thread reads it. Loading reads files through the
 *         world that it is given.
 * Memory: a config owns every string that its accessors lend, until config_drop().
 * Always: values in a config have passed their row's check; what a dynamic entry spoils (an old record, an
 *         unknown name) is left out of the values, and the layer below counts. */
#pragma once
#include "base/io.h"
#include "metadata/image.h"

/* Kafka's numbers, as DescribeConfigs answers them. */
enum config_type {
    CONFIG_BOOLEAN = 1,
    CONFIG_STRING,
    CONFIG_INT,
    CONFIG_SHORT,
    CONFIG_LONG,
    CONFIG_DOUBLE,
    CONFIG_LIST,
    CONFIG_CLASS,
    CONFIG_PASSWORD,
};
enum config_source {
    CONFIG_FROM_TOPIC = 1,
    CONFIG_FROM_DYNAMIC_BROKER,
    CONFIG_FROM_DYNAMIC_DEFAULT,
    CONFIG_FROM_FILE,
    CONFIG_FROM_DEFAULT,
    CONFIG_FROM_LOGGER,
    CONFIG_FROM_CLIENT_METRICS,
    CONFIG_FROM_GROUP,
};
enum config_importance { CONFIG_HIGH, CONFIG_MEDIUM, CONFIG_LOW };
enum config_update { CONFIG_READ_ONLY, CONFIG_PER_BROKER, CONFIG_CLUSTER_WIDE, CONFIG_DYNAMIC };

/* A setting's number: C_num_io_threads, T_retention_ms, G_consumer_session_timeout_ms, M_interval_ms. */
enum config_id {
#define BROKER(id, ...)  C_##id,
#define TOPIC(id, ...)   T_##id,
#define GROUP(id, ...)   G_##id,
#define METRICS(id, ...) M_##id,
#include "broker/config.def"
#undef BROKER
#undef TOPIC
#undef GROUP
#undef METRICS
    CONFIG_COUNT
};

struct config_list {
    int n;
    const char *const *v;
};

struct config_value {
    bool null; /* Kafka's null: not set and no default */
    union {
        int64_t i; /* BOOLEAN INT SHORT LONG */
        double d;
        const char *s; /* STRING CLASS PASSWORD */
        struct config_list list;
    };
};

/* One of `listeners`, with what clients are told to dial instead. */
struct config_listener {
    const char *name;            /* PLAINTEXT, CONTROLLER … */
    const char *host;            /* "" for every address */
    uint16_t port;               /* 0: any free one */
    const char *protocol;        /* PLAINTEXT; the others come with security */
    const char *advertised_host; /* "" when nothing was named: the machine's name, which the server knows */
    uint16_t advertised_port;    /* 0: the port bound */
    bool advertised;             /* clients are told of it; never so for a controller's own listener */
    bool controller;
    int32_t connections_max; /* listener.name.<name>.max.connections */
    int32_t creation_rate;   /* listener.name.<name>.max.connection.creation.rate */
};

/* One of controller.quorum.voters. */
struct config_voter {
    int32_t id;
    const char *host;
    uint16_t port;
};

struct config;

/* Values by number. The type must be the row's (it asserts), and null asserts but for strings (NULL) and
 * lists (empty). */
int64_t config_int(const struct config *c, enum config_id id);
bool config_bool(const struct config *c, enum config_id id);
double config_double(const struct config *c, enum config_id id);
const char *config_str(const struct config *c, enum config_id id);
struct config_list config_list(const struct config *c, enum config_id id);
bool config_is_null(const struct config *c, enum config_id id);
bool config_is_given(const struct config *c, enum config_id id); /* by somebody: not the row's default */
const struct config_listener *config_listeners(const struct config *c, int *n);
bool config_serves(const struct config *c);                               /* process.roles has broker */
bool config_controls(const struct config *c);                             /* … controller */
const struct config_voter *config_voters(const struct config *c, int *n); /* in the order given */
struct config_list config_log_dirs(const struct config *c);               /* log.dirs, else log.dir */
const char *config_metadata_dir(const struct config *c); /* metadata.log.dir, else the first log dir */

/* A name and its value, as the image stores overrides; value.p == NULL is null. Lent. */
struct config_entry {
    struct slice name;
    struct slice value;
};

/* Loading. What lies outside comes through these calls; main() gives them. */
struct config_world {
    const char *(*env)(void *arg, const char *name);                 /* NULL: not set */
    enum err (*read)(void *arg, const char *path, struct bytes *to); /* config_read_file() on a DISK loop */
    void (*warn)(void *arg, const char *line);
    void *arg;
};
struct config_load {
    const struct config_world *world;
    const char *path;        /* server.properties; NULL: none */
    const char *const *sets; /* "name=value": --set, later than the file */
    int n_sets;
};
/* E_INVALID_CONFIG or the file's error: `why` says file, line, name, value and reason, a line for each fault
 * found. */
enum err config_load(struct heap *h, const struct config_load *from, struct bytes *why, struct config **out);
enum err config_read_file(struct io *io, const char *path, struct bytes *to); /* DISK loop */
void config_drop(struct config *c);

/* The same static settings under the image's dynamic ones: a new value. */
struct config *config_with(const struct config *c, const struct config_entry *cluster, int n_cluster,
                           const struct config_entry *broker, int n_broker);

/* A topic's (group's, subscription's) setting in force: its own entries over the broker's; lists are from the
 * arena. */
struct config_value config_topic(const struct config *c, const struct config_entry *own, int n,
                                 enum config_id id, struct arena *a);

/* The log's part of the same. */
struct log_config;
void config_log(const struct config *c, const struct config_entry *own, int n, struct log_config *out);
int64_t config_request_budget(
    const struct config *c); /* bytes of requests in flight: queued.max.request.bytes */

/* Whether a resource may have this entry (value.p == NULL: none). `why` is a sentence for the client.
 * E_INVALID_CONFIG   a topic, group or subscription entry breaks a rule, or has no such name
 * E_INVALID_REQUEST  the resource's name does, or a broker entry (Kafka's code for it, kept for scripts) */
enum err config_check(const struct config *c, enum config_resource type, struct slice resource,
                      struct slice name, struct slice value, char *why, size_t room);
/* The same for all that the resource will have, together: only rules between entries. */
enum err config_check_all(const struct config *c, enum config_resource type, struct slice resource,
                          const struct slice *names, const struct slice *values, int n, char *why,
                          size_t room);
bool config_is_list(enum config_resource resource, struct slice name); /* APPEND and SUBTRACT need it */
const char *config_default(enum config_resource resource,
                           struct slice name); /* NULL: null or no such setting */
bool config_is_sensitive(enum config_resource resource, struct slice name); /* unknown names of brokers too */

/* What DescribeConfigs tells. */
struct config_synonym {
    const char *name;
    const char *value; /* NULL: null or sensitive */
    enum config_source source;
};
struct config_described {
    const char *name;
    const char *value; /* NULL: null or sensitive */
    enum config_source source;
    bool read_only;
    bool sensitive;
    int8_t type; /* enum config_type; 0: an unknown name */
    const char *doc;
    struct config_synonym *synonyms; /* the one in force first */
    int n_synonyms;
};
/* Every setting of a resource with its own entries. `cluster_default`: BROKER with the empty name, whose
 * own entries alone are told. Memory: from the arena. */
struct config_described *config_describe(const struct config *c, enum config_resource resource,
                                         bool cluster_default, const struct config_entry *own, int n,
                                         struct arena *a, int *n_out);

/* What the controller asks of settings (metadata/controller.h); `c` is lent to it. */
struct ctl_rules;
void config_rules(const struct config *c, struct ctl_rules *out);

/* A row, for tools and tests. */
struct config_row {
    enum config_resource resource;
    const char *name;
    enum config_type type;
    const char *preset; /* the default; NULL: null */
    enum config_importance importance;
    enum config_update update;
    double min;
    double max;
    const char *words;   /* the values, or elements of a list, that are allowed; NULL: any */
    unsigned rules;      /* config_rows.h */
    const char *later;   /* the feature that is missing; NULL: it works */
    const char *idle;    /* why nothing here follows from it; NULL: something does */
    const char *builtin; /* values other than the default that are built in: comma-separated */
    const char *doc;
};
const struct config_row *config_row(enum config_id id);
enum config_id config_find(enum config_resource resource,
                           struct slice name); /* CONFIG_COUNT: no such setting */
