#include "log/dir.h"
#include "metadata/features.h"
#include "tools/commands.h"
#include "tools/features.h"
#include "tools/storage.h"
#include <stdlib.h>

/* ---- Settings ---- */

static enum err world_read(void *arg, const char *path, struct bytes *to)
{
    return config_read_file(((struct tool *)arg)->io, path, to);
}

static const char *world_env(void *arg, const char *name)
{
    struct tool *t = arg;

    return t->world->env(t->world->arg, name);
}

static void world_warn(void *arg, const char *line)
{
    tool_warn(arg, "%s", line);
}

struct config *storage_config(struct tool *t, const char *path, const char *const *sets, int n_sets)
{
    struct config_world world = {.env = world_env, .read = world_read, .warn = world_warn, .arg = t};
    struct config_load from = {.world = &world, .path = path, .sets = sets, .n_sets = n_sets};
    struct config *c = NULL;
    struct bytes why;

    bytes_init(&why, t->heap);
    enum err err = config_load(t->heap, &from, &why, &c);
    while (why.len && why.p[why.len - 1] == '\n')
        why.len--;
    if (err && why.len)
        tool_fail(t, "%.*s", (int)why.len, (char *)why.p);
    else if (err)
        tool_fail(t, "%s can't be read: %s", path, err_text(err));
    bytes_drop(&why);
    return err ? NULL : c;
}

struct config *storage_config_flags(struct tool *t)
{
    const char *path = flag_text(&t->flags, "config");
    const struct flag_value *sets = flag_list(&t->flags, "set");

    if (!path && sets->n == 0) {
        tool_usage(t, "which node? --config server.properties");
        return NULL;
    }
    return storage_config(t, path, sets->list, sets->n);
}

/* ---- Directories ---- */

int storage_dirs(struct tool *t, const struct config *c, const char ***out)
{
    struct config_list dirs = config_log_dirs(c);
    const char **v = arena_alloc(&t->arena, ((size_t)dirs.n + 1) * sizeof(*v));
    int n = 0;

    v[n++] = config_metadata_dir(c);
    for (int i = 0; i < dirs.n; i++)
        if (strcmp(dirs.v[i], v[0]) != 0)
            v[n++] = dirs.v[i];
    *out = v;
    return n;
}

void storage_random_uuid(struct tool *t, char text[])
{
    struct uuid id;

    do {
        io_random(t->io, id.b, sizeof(id.b));
        id.b[6] = (id.b[6] & 0x0f) | 0x40; /* version 4, as Java's */
        id.b[8] = (id.b[8] & 0x3f) | 0x80;
        uuid_text(id, text);
    } while (text[0] == '-');
}

bool storage_ready(struct tool *t, const struct config *c)
{
    const char **dirs;
    struct log_meta meta;

    for (int i = storage_dirs(t, c, &dirs) - 1; i >= 0; i--)
        if (log_meta_read(t->io, dirs[i], &meta) == E_NOENT)
            return false;
    return true;
}

/* ---- info ---- */

static const char *problem_of(struct tool *t, const char *dir, const struct log_meta *first,
                              struct log_meta *meta)
{
    enum err err = log_meta_read(t->io, dir, meta);
    int64_t ignored;

    if (err == E_NOENT)
        return path_space(t->io, dir, &ignored, &ignored) ? "does not exist" : "is not formatted.";
    if (err)
        return arena_printf(&t->arena, "has a meta.properties that can't be read: %s", err_text(err));
    if (first->cluster_id[0] && strcmp(first->cluster_id, meta->cluster_id) != 0)
        return arena_printf(&t->arena, "belongs to another cluster: %s", meta->cluster_id);
    return NULL;
}

static void info_print(struct tool *t, const char **dirs, const char *const *problems, int n, int faults,
                       const struct log_meta *meta)
{
    char id[UUID_TEXT_LEN + 1];

    bytes_printf(&t->out, "Found log director%s:\n", n == 1 ? "y" : "ies");
    for (int i = 0; i < n; i++)
        if (!problems[i] || strcmp(problems[i], "does not exist") != 0)
            bytes_printf(&t->out, "  %s\n", dirs[i]);
    bytes_printf(&t->out, "\n");
    if (meta->cluster_id[0]) {
        uuid_text(meta->directory_id, id);
        bytes_printf(&t->out, "Found metadata: {cluster.id=%s, directory.id=%s, node.id=%d, version=1}\n\n",
                     meta->cluster_id, id, meta->node_id);
    }
    if (faults)
        bytes_printf(&t->out, "Found problem%s:\n", faults == 1 ? "" : "s");
    for (int i = 0; i < n; i++)
        if (problems[i])
            bytes_printf(&t->out, "  %s %s\n", dirs[i], problems[i]);
    if (faults)
        bytes_printf(&t->out, "\n");
}

static void info(struct tool *t)
{
    struct config *c = storage_config_flags(t);
    struct log_meta first = {.cluster_id = ""}, meta;
    const char **dirs;

    if (!c)
        return;
    int n = storage_dirs(t, c, &dirs), faults = 0;
    const char **problems = arena_alloc(&t->arena, (size_t)n * sizeof(*problems));
    for (int i = 0; i < n; i++) {
        problems[i] = problem_of(t, dirs[i], &first, &meta);
        faults += problems[i] != NULL;
        if (!problems[i] && !first.cluster_id[0])
            first = meta;
    }
    if (t->json) {
        struct json j = tool_json(t);

        json_open(&j, NULL, '{');
        json_str(&j, "clusterId", first.cluster_id[0] ? first.cluster_id : NULL);
        json_int(&j, "nodeId", first.node_id);
        json_open(&j, "directories", '[');
        for (int i = 0; i < n; i++) {
            json_open(&j, NULL, '{');
            json_str(&j, "path", dirs[i]);
            json_str(&j, "problem", problems[i]);
            json_close(&j, '}');
        }
        json_close(&j, ']');
        json_close(&j, '}');
        bytes_printf(&t->out, "\n");
    } else {
        info_print(t, dirs, problems, n, faults, &first);
    }
    t->exit = faults ? EXIT_FAILED : EXIT_OK;
    config_drop(c);
}

/* ---- version-mapping, feature-dependencies ---- */

static void version_mapping(struct tool *t)
{
    const char *text = flag_text(&t->flags, "release-version");
    int level = features_find(text ? text : features_version_name(FEATURES_LAST));
    struct json j = tool_json(t);

    if (level < 0) {
        tool_fail(t, "there is no release version \"%s\"; they go from %s to %s", text,
                  features_version_name(FEATURES_FIRST), features_version_name(FEATURES_LAST));
        return;
    }
    if (t->json)
        json_open(&j, NULL, '{');
    if (t->json)
        json_int(&j, FEATURE_METADATA, level);
    else
        bytes_printf(&t->out, "%s=%d (%s)\n", FEATURE_METADATA, level,
                     text ? text : features_version_name(level));
    for (int i = 0; i < FEATURES_N; i++) {
        if (t->json)
            json_int(&j, features_names[i], features_level(i, level));
        else
            bytes_printf(&t->out, "%s=%d\n", features_names[i], features_level(i, level));
    }
    if (t->json)
        json_close(&j, '}');
    if (t->json)
        bytes_printf(&t->out, "\n");
}

static void dependencies_print(struct tool *t, const char *name, int level, int feature)
{
    bool metadata = strcmp(name, FEATURE_METADATA) == 0;
    bool elr = feature >= 0 && strcmp(name, "eligible.leader.replicas.version") == 0 && level > 0;

    if (t->json) {
        struct json j = tool_json(t);

        json_open(&j, NULL, '{');
        json_str(&j, "feature", name);
        json_int(&j, "level", level);
        json_open(&j, "requires", '{');
        if (elr)
            json_int(&j, FEATURE_METADATA, 23);
        json_close(&j, '}');
        json_close(&j, '}');
        bytes_printf(&t->out, "\n");
    } else if (metadata) {
        bytes_printf(&t->out, "%s=%d (%s) has no dependencies.\n", name, level, features_version_name(level));
    } else if (elr) {
        bytes_printf(&t->out, "%s=%d requires:\n    %s=23 (%s)\n", name, level, FEATURE_METADATA,
                     features_version_name(23));
    } else {
        bytes_printf(&t->out, "%s=%d has no dependencies.\n", name, level);
    }
}

static void feature_dependencies(struct tool *t)
{
    const struct flag_value *list = flag_list(&t->flags, "feature");
    struct property p;

    if (list->n == 0)
        tool_usage(t, "of which feature? --feature name=level");
    for (int i = 0; i < list->n && !t->ended; i++) {
        int feature = FEATURES_N - 1, level;

        if (!property_parse(&t->arena, list->list[i], &p)) {
            tool_usage(t, "--feature takes name=level, not \"%s\"", list->list[i]);
            return;
        }
        level = atoi(p.value);
        while (feature >= 0 && strcmp(p.name, features_names[feature]) != 0)
            feature--;
        if (feature < 0 && strcmp(p.name, FEATURE_METADATA) != 0)
            tool_fail(t, "there is no feature \"%s\"", p.name);
        else if (feature < 0 ? level < FEATURES_FIRST || level > FEATURES_LAST
                             : level < 0 || level > features_max(feature))
            tool_fail(t, "%s has no level %s", p.name, p.value);
        else
            dependencies_print(t, p.name, level, feature);
    }
}

void cmd_random_uuid(struct tool *t)
{
    char text[UUID_TEXT_LEN + 1];

    storage_random_uuid(t, text);
    if (t->json)
        bytes_printf(&t->out, "\"%s\"\n", text);
    else
        bytes_printf(&t->out, "%s\n", text);
}

void cmd_storage(struct tool *t)
{
    static const struct {
        const char *name;
        void (*run)(struct tool *t);
    } actions[] = {{"format", cmd_format},
                   {"info", info},
                   {"version-mapping", version_mapping},
                   {"feature-dependencies", feature_dependencies},
                   {"random-uuid", cmd_random_uuid}};
    const char *word = t->flags.n_rest == 1 ? t->flags.rest[0] : "";

    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
        if (strcmp(actions[i].name, word) == 0) {
            actions[i].run(t);
            return;
        }
    tool_usage(t, "storage takes one of format, info, version-mapping, feature-dependencies, random-uuid");
}
