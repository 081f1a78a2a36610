/* What the files of config share: rules of rows, and how a config is laid out. */
#pragma once
#include "broker/config.h"

/* config_row.rules: what a row's check asks beyond range and words. */
enum config_rule {
    UNIQUE = 1 << 0,       /* a list drops what it says twice */
    FILLED = 1 << 1,       /* not empty */
    CASELESS = 1 << 2,     /* words in any case */
    GZIP_LEVEL = 1 << 3,   /* 1 to 9, or -1 */
    THROTTLED = 1 << 4,    /* partition:broker, or * alone */
    LISTENERS = 1 << 5,    /* name://host:port */
    PROTOCOL_MAP = 1 << 6, /* name:protocol */
    VOTERS = 1 << 7,       /* id@host:port */
    SERVERS = 1 << 8,      /* host:port */
    IP_OVERRIDES = 1 << 9, /* host:count */
    OFFSET_RESET = 1 << 10,
    CLIENT_MATCH = 1 << 11, /* name=regular expression */
};

enum { CONFIG_VOTERS_MAX = 7 };

/* Where a broker's value may come from; the first that has one counts. */
enum config_layer { LAYER_BROKER, LAYER_CLUSTER, LAYER_FILE, LAYER_COUNT };

struct config_unknown {
    const char *name;
    const char *value;
    enum config_layer layer;
};

struct config {
    struct heap *heap;
    struct arena arena;
    const char *text[LAYER_COUNT][CONFIG_COUNT]; /* as given; NULL: not in this layer */
    struct config_value
        value[CONFIG_COUNT];         /* in force; topics and groups: where they say nothing themselves */
    const char *shown[CONFIG_COUNT]; /* those as text; NULL: null */
    struct config_unknown *unknown;
    int n_unknown; /* until config_resolve() with those that a later one replaces */
    int unknown_room;
    struct config_listener *listeners;
    int n_listeners;
    struct config_voter *voters;
    int n_voters;
};

struct config_synonym_row {
    enum config_id of;
    enum config_id broker;
    int64_t factor;
};
extern const struct config_synonym_row config_synonyms[];
extern const int config_synonyms_count;

/* The broker's names that mean the same, in Kafka's order, `id` among them; how many (at most 3). */
int config_family(enum config_id id, enum config_id to[3]);

/* The nearest broker setting to a name that nobody knows; NULL: none is near. */
const char *config_nearest(struct slice name);

/* The typed value of a text, from the arena. false: `why` is a clause. */
bool config_parse(const struct config_row *row, struct slice text, struct arena *a, struct config_value *out,
                  char *why, size_t room);
bool config_is_preset(const struct config_row *row, const struct config_value *v,
                      struct arena *a); /* the default, or built in */
/* The text of a value as Kafka writes it, from the arena; NULL for null. */
const char *config_print(const struct config_row *row, const struct config_value *v, struct arena *a);

/* A setting that Kafka lets brokers change while they run, and that counts from the next start here. */
bool config_at_start_only(enum config_id id);

/* A rate of throttling: Kafka knows it only where somebody has set it, for one broker or for all. */
bool config_is_rate(enum config_id id);

/* listener.name.<listener>.<setting>: a setting of one listener alone. */
enum config_own { OWN_NONE, OWN_CONNECTIONS, OWN_RATE, OWN_THREADS, OWN_OTHER };
enum config_own config_own(struct slice name, struct slice *listener);
/* Whether such a setting may be given. false: `why` is a clause. */
bool config_own_check(enum config_own what, struct slice value, char *why, size_t room);

/* An empty config, and its values once its texts are in place. */
struct config *config_new(struct heap *h);
void config_resolve(struct config *c);
void config_put(struct config *c, enum config_layer layer, struct slice name, struct slice value);

/* What can't be told from one row: listeners and rules between settings. Fills c->listeners. false: `why`. */
bool config_listeners_resolve(struct config *c, char *why, size_t room);
bool config_agrees(const struct config *c, char *why, size_t room);

/* NAME://host:port in its parts, lent. */
struct config_endpoint {
    struct slice name;
    struct slice host; /* without brackets */
    uint16_t port;
};
bool config_endpoint(struct slice text, struct config_endpoint *out);
bool config_host_port(struct slice text, struct slice *host, uint16_t *port);

/* The name of a resource alone. Topics are looked up by whoever has the image. */
enum err config_check_resource(enum config_resource type, struct slice resource, char *why, size_t room);

/* java.util.Properties: calls `each` for every pair, in order; false: `why` tells (a bad \\u). */
typedef void (*config_pair_cb)(void *arg, int line, struct slice name, struct slice value);
bool config_properties(struct slice text, struct arena *a, config_pair_cb each, void *arg, char *why,
                       size_t room);
/* ${env:NAME} and ${file:path:key} replaced. false: `why` is a clause. */
bool config_expand(const struct config_world *w, struct slice in, struct arena *a, struct slice *out,
                   char *why, size_t room);

struct slice slice_trim(struct slice s);
bool slice_cut(struct slice *rest, uint8_t at,
               struct slice *head); /* the part before `at`; false: nothing is left */
bool slice_is(struct slice s, const char *text);
bool slice_is_caseless(struct slice s, const char *text);
bool slice_int(struct slice s, int64_t min, int64_t max, int64_t *out); /* as Java reads it */
