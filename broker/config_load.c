/* server.properties and --set become a config, or a list of what is wrong with them. */
#include "broker/config_rows.h"
#include <stdio.h>

struct loading {
    const struct config_load *from;
    struct config *c;
    struct bytes *why;
    const char *path; /* NULL while --set is read */
    const char *where[CONFIG_COUNT];
    int faults;
};

static void fault(struct loading *l, const char *where, const char *name, const char *value,
                  const char *reason)
{
    bool hidden = config_is_sensitive(CONFIG_BROKER, SLICE(name));

    bytes_printf(l->why, "%s: %s=%s: %s\n", where, name, hidden ? "[hidden]" : value, reason);
    l->faults++;
}

static void warn_unknown(struct loading *l, const char *where, const char *name)
{
    const char *near = config_nearest(SLICE(name));
    const char *line = arena_printf(&l->c->arena, "%s: there is no setting %s%s%s%s", where, name,
                                    near ? "; did you mean " : "", near ? near : "", near ? "?" : "");

    l->from->world->warn(l->from->world->arg, line);
}

static bool starts_with(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* Names that have no row because a part of them is free. */
static void meet_unknown(struct loading *l, const char *where, const char *name, const char *value)
{
    size_t len = strlen(name);

    struct slice listener;
    enum config_own own = config_own(SLICE(name), &listener);
    char why[256];

    if (own != OWN_NONE) {
        if (!config_own_check(own, SLICE(value), why, sizeof(why)))
            fault(l, where, name, value, why);
    } else if (starts_with(name, "config.providers.") && len > 6 && strcmp(name + len - 6, ".class") == 0 &&
               strcmp(value, "org.apache.kafka.common.config.provider.EnvVarConfigProvider") != 0 &&
               strcmp(value, "org.apache.kafka.common.config.provider.FileConfigProvider") != 0)
        fault(l, where, name, value,
              "this Java class isn't built in: ${env:…} and ${file:…} are, without being named");
    else if (!starts_with(name, "config.providers."))
        warn_unknown(l, where, name);
}

static void meet(void *arg, int line, struct slice name, struct slice value)
{
    struct loading *l = arg;
    struct arena *a = &l->c->arena;
    const char *where = l->path ? arena_printf(a, "%s:%d", l->path, line) : "--set";
    const char *text = arena_str(a, name);
    enum config_id id = config_find(CONFIG_BROKER, name);
    struct slice expanded;
    char why[512];

    if (!config_expand(l->from->world, value, a, &expanded, why, sizeof(why))) {
        fault(l, where, text, arena_str(a, value), why);
        return;
    }
    config_put(l->c, LAYER_FILE, name, expanded);
    if (id == CONFIG_COUNT)
        meet_unknown(l, where, text, arena_str(a, expanded));
    else
        l->where[id] = where;
}

static enum err read_file(struct loading *l)
{
    const struct config_world *w = l->from->world;
    struct bytes text;
    char why[256];
    enum err err;

    bytes_init(&text, l->c->heap);
    l->path = l->from->path;
    err = w->read(w->arg, l->path, &text);
    if (err) {
        bytes_printf(l->why, "%s: %s\n", l->path, err_text(err));
    } else if (!config_properties(bytes_slice(&text), &l->c->arena, meet, l, why, sizeof(why))) {
        bytes_printf(l->why, "%s: %s\n", l->path, why);
        l->faults++;
    }
    l->path = NULL;
    bytes_drop(&text);
    return err;
}

static void read_sets(struct loading *l)
{
    for (int i = 0; i < l->from->n_sets; i++) {
        struct slice value = SLICE(l->from->sets[i]), name;
        (void)slice_cut(&value, '=', &name);
        if (!value.p || slice_trim(name).len == 0) {
            bytes_printf(l->why, "--set %s: it must be name=value\n", l->from->sets[i]);
            l->faults++;
        } else {
            meet(l, 0, slice_trim(name), value);
        }
    }
}

/* Each value that was given last, against its row. */
static void check_rows(struct loading *l)
{
    struct arena *a = &l->c->arena;
    struct config_value v;
    char why[512];

    for (int i = 0; i < CONFIG_COUNT; i++) {
        enum config_id id = (enum config_id)i;
        const struct config_row *row = config_row(id);
        const char *text = l->c->text[LAYER_FILE][id];
        if (!text)
            continue;
        if (!config_parse(row, SLICE(text), a, &v, why, sizeof(why)))
            fault(l, l->where[id], row->name, text, why);
        else if (row->later && !config_is_preset(row, &v, a))
            fault(l, l->where[id], row->name, text,
                  arena_printf(
                      a, "this belongs to %s, which isn't there yet: only the default (%s) can be given",
                      row->later, row->preset ? row->preset : "nothing"));
        else if (row->idle && !config_is_preset(row, &v, a))
            l->from->world->warn(l->from->world->arg, arena_printf(a, "%s: %s=%s changes nothing: %s",
                                                                   l->where[id], row->name, text, row->idle));
    }
}

/* broker.id and node.id are two names of one number: each stands in for the other. */
static void same_node(struct config *c)
{
    const char **file = c->text[LAYER_FILE];

    if (!file[C_broker_id])
        file[C_broker_id] = file[C_node_id];
    else if (!file[C_node_id])
        file[C_node_id] = file[C_broker_id];
}

enum err config_load(struct heap *h, const struct config_load *from, struct bytes *why, struct config **out)
{
    struct loading l = {.from = from, .c = config_new(h), .why = why};
    const char *name = from->path ? from->path : "settings";
    enum err err = E_OK;
    char reason[512];

    *out = NULL;
    if (from->path)
        err = read_file(&l);
    if (err)
        goto out;
    read_sets(&l);
    check_rows(&l);
    same_node(l.c);
    if (l.faults == 0) {
        config_resolve(l.c);
        if (!config_listeners_resolve(l.c, reason, sizeof(reason)) ||
            !config_agrees(l.c, reason, sizeof(reason))) {
            bytes_printf(why, "%s: %s\n", name, reason);
            l.faults++;
        }
    }
    err = l.faults ? E_INVALID_CONFIG : E_OK;
out:
    if (err)
        config_drop(l.c);
    else
        *out = l.c;
    return err;
}

enum err config_read_file(struct io *io, const char *path, struct bytes *to)
{
    struct file *f;
    size_t got, len;
    enum err err;

    err = file_open(io, path, 0, &f);
    if (err)
        return err;
    len = (size_t)file_size(f);
    err = file_read(f, 0, bytes_more(to, len), len, &got);
    if (err)
        got = 0;
    to->len -= len - got;
    file_unref(f);
    return err;
}
