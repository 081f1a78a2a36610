/* `storage format`, also `format`: marks a node's directories as its own, and says who begins the quorum. */
#include "broker/bootstrap.h"
#include "log/dir.h"
#include "metadata/features.h"
#include "tools/commands.h"
#include "tools/features.h"
#include "tools/storage.h"
#include "tools/voter_list.h"
#include <stdlib.h>

/* clang-format off */
#define FLAGS_FORMAT                                                                                                        \
    {"config", 'c', FLAG_TEXT, "FILE", NULL, NULL, "server.properties"},                                                   \
    {"set", 0, FLAG_LIST, "NAME=VALUE", NULL, NULL, "a setting, over those of the file"},                                   \
    {"cluster-id", 't', FLAG_TEXT, "ID", NULL, NULL, "the cluster's id, of 22 letters; a random one where it isn't given"}, \
    {"ignore-formatted", 'g', FLAG_BOOL, NULL, NULL, NULL, "leave directories alone that are formatted already"},           \
    {"release-version", 'r', FLAG_TEXT, "VERSION", NULL, NULL, "4.3-IV0"},                                                  \
    {"feature", 'f', FLAG_LIST, "NAME=LEVEL", NULL, NULL, "a feature and its level"},                                       \
    {"add-scram", 'S', FLAG_TEXT, "CREDENTIAL", NULL, "security", NULL},                                                    \
    {"standalone", 's', FLAG_BOOL, NULL, NULL, NULL, "this controller begins a quorum alone; others may join"},                                                         \
    {"no-initial-controllers", 'N', FLAG_BOOL, NULL, NULL, NULL, "this one is to join a quorum that there is"},                                             \
    {"initial-controllers", 'I', FLAG_TEXT, "LIST", NULL, NULL, "who begins a quorum: ID@HOST:PORT:DIRECTORY,..."}
const struct flag flags_storage[] = {FLAGS_FORMAT, FLAGS_TOOL, {0}};
const struct flag flags_format[] = {FLAGS_FORMAT, FLAGS_TOOL, {0}};
const struct flag flags_random_uuid[] = {FLAGS_TOOL, {0}};
/* clang-format on */

/* ---- Directories ---- */

static enum err dirs_make(struct tool *t, const char *path)
{
    char *prefix = arena_str(&t->arena, SLICE(path));
    enum err err = E_OK;

    for (char *slash = prefix; !err && *slash;) {
        slash++;
        slash += strcspn(slash, "/");
        char was = *slash;
        *slash = 0;
        err = dir_make(t->io, prefix);
        if (err == E_EXISTS)
            err = E_OK;
        *slash = was;
    }
    return err;
}

void storage_alone(struct tool *t, const struct config *c, struct formatted *out)
{
    struct config_list names = config_list(c, C_controller_listener_names);
    struct formatted_voter *v = &out->v[0];
    char text[UUID_TEXT_LEN + 1];
    int n;
    const struct config_listener *all = config_listeners(c, &n);

    *out = (struct formatted){.n = 1};
    v->node = (int32_t)config_int(c, C_node_id);
    snprintf(v->host, sizeof(v->host), "localhost");
    for (int i = n - 1; i >= 0; i--) {
        const char *host =
            all[i].advertised_host && all[i].advertised_host[0] ? all[i].advertised_host : all[i].host;

        if (!all[i].controller || strcasecmp(all[i].name, names.v[0]) != 0)
            continue;
        if (host[0])
            snprintf(v->host, sizeof(v->host), "%s", host);
        v->port = all[i].advertised_port ? all[i].advertised_port : all[i].port;
    }
    storage_random_uuid(t, text);
    (void)!uuid_parse(SLICE(text), &v->directory_id);
}

/* The directory of this node among the voters, or a new one. */
static struct uuid directory_id(struct tool *t, const struct formatted *first, int32_t node, bool *votes)
{
    char text[UUID_TEXT_LEN + 1];
    struct uuid id = {{0}};

    *votes = false;
    for (int i = 0; i < first->n; i++)
        if (first->v[i].node == node) {
            *votes = true;
            return first->v[i].directory_id;
        }
    storage_random_uuid(t, text);
    (void)!uuid_parse(SLICE(text), &id);
    return id;
}

/* meta.properties comes last: a directory that has it is whole. */
static bool one_format(struct tool *t, const struct config *c, const char *dir, bool metadata,
                       const struct log_meta *like, const struct storage_plan *plan)
{
    static const struct formatted nobody;
    const struct formatted *first = metadata ? &plan->first : &nobody;
    struct config_list names = config_list(c, C_controller_listener_names);
    struct log_meta meta = *like;
    enum err err = dirs_make(t, dir);
    bool votes;

    meta.directory_id = directory_id(t, first, like->node_id, &votes);
    if (!err && metadata && plan->level != METADATA_VERSION)
        err = bootstrap_write(t->io, dir, (int16_t)plan->level);
    if (!err && first->n > 0)
        err = formatted_write(t->io, dir, names.v[0], first);
    if (!err)
        err = log_meta_write(t->io, dir, &meta);
    if (err)
        tool_fail(t, "%s can't be formatted: %s", dir, err_text(err));
    else if (!t->json)
        bytes_printf(&t->out, "Formatting %s directory %s with metadata.version %s.\n",
                     votes          ? "dynamic metadata voter"
                     : first->n > 0 ? "dynamic metadata"
                     : metadata     ? "metadata"
                                    : "data",
                     dir, features_version_name(plan->level));
    return !err;
}

bool storage_format(struct tool *t, const struct config *c, const struct storage_plan *plan)
{
    const char *cluster_id = plan->cluster_id;
    const char **dirs;
    int n = storage_dirs(t, c, &dirs), fresh = 0;
    struct log_meta like = {.node_id = (int32_t)config_int(c, C_node_id)}, found;
    bool *is_fresh = arena_alloc(&t->arena, (size_t)n * sizeof(*is_fresh));

    for (int i = 0; i < n; i++) {
        enum err err = log_meta_read(t->io, dirs[i], &found);

        is_fresh[i] = err == E_NOENT;
        fresh += is_fresh[i];
        if (err && err != E_NOENT) {
            tool_fail(t, "%s/meta.properties can't be read: %s", dirs[i], err_text(err));
            return false;
        }
        if (!err && !plan->again) {
            tool_fail(t, "%s is formatted already; --ignore-formatted leaves such directories alone",
                      dirs[i]);
            return false;
        }
        if (!err && cluster_id && strcmp(found.cluster_id, cluster_id) != 0) {
            tool_fail(t, "%s belongs to cluster %s", dirs[i], found.cluster_id);
            return false;
        }
        if (!err)
            snprintf(like.cluster_id, sizeof(like.cluster_id), "%s", found.cluster_id);
    }
    if (cluster_id)
        snprintf(like.cluster_id, sizeof(like.cluster_id), "%s", cluster_id);
    else if (!like.cluster_id[0])
        storage_random_uuid(t, like.cluster_id);
    for (int i = 0; i < n; i++)
        if (is_fresh[i] && !one_format(t, c, dirs[i], i == 0, &like, plan))
            return false;
    if (fresh == 0 && !t->json)
        bytes_printf(&t->out, "All of the log directories are already formatted.\n");
    return true;
}

/* ---- format ---- */

/* The metadata.version that --release-version asks for. It gates nothing here, but brokers and tools are told it. */
static int release_level(struct tool *t)
{
    const char *text = flag_text(&t->flags, "release-version");
    int level = text ? features_find(text) : METADATA_VERSION;

    if (level < METADATA_VERSION_MIN)
        tool_usage(t, "there is no release version \"%s\"; they go from %s to %s", text,
                   features_version_name(METADATA_VERSION_MIN), features_version_name(METADATA_VERSION));
    return level;
}

static int metadata_level(struct tool *t, const char *text)
{
    char *end;
    long level = strtol(text, &end, 10);

    if (*end || level < METADATA_VERSION_MIN || level > METADATA_VERSION)
        tool_usage(t, "metadata.version goes from %d to %d, not \"%s\"", METADATA_VERSION_MIN,
                   METADATA_VERSION, text);
    return (int)level;
}

/* kraft.version, which nothing but the voters decides. */
static void kraft_check(struct tool *t, const struct config *c, const char *text)
{
    bool dynamic = flag_given(&t->flags, "standalone") || flag_given(&t->flags, "initial-controllers") ||
                   flag_given(&t->flags, "no-initial-controllers");
    bool fixed = config_list(c, C_controller_quorum_voters).n > 0;

    if (strcmp(text, "0") != 0 && strcmp(text, "1") != 0)
        tool_fail(t, "No feature:kraft.version with feature level %s", text);
    else if (text[0] == '1' && (fixed || !dynamic))
        tool_fail(
            t, "Cannot set kraft.version to 1 unless controller.quorum.voters is empty and one of the flags "
               "--standalone, --initial-controllers, or --no-initial-controllers is used. For dynamic "
               "controllers support, try using one of --standalone, --initial-controllers, or "
               "--no-initial-controllers and removing controller.quorum.voters.");
    else if (text[0] == '0' && !fixed && dynamic)
        tool_fail(t,
                  "Cannot set kraft.version to 0 if controller.quorum.voters is empty and one of the flags "
                  "--standalone, --initial-controllers, or --no-initial-controllers is used. For dynamic "
                  "controllers support, try removing the --feature flag for kraft.version.");
}

/* The same of --feature; other features begin at 0. */
static bool features_check(struct tool *t, const struct config *c, int *level)
{
    const struct flag_value *list = flag_list(&t->flags, "feature");
    struct property p;

    for (int i = 0; i < list->n && !t->ended; i++) {
        if (!property_parse(&t->arena, list->list[i], &p))
            tool_usage(t, "--feature takes name=level, not \"%s\"", list->list[i]);
        else if (strcmp(p.name, FEATURE_METADATA) == 0 && flag_given(&t->flags, "release-version"))
            tool_usage(t, "metadata.version is what --release-version says: give one of them");
        else if (strcmp(p.name, FEATURE_METADATA) == 0)
            *level = metadata_level(t, p.value);
        else if (strcmp(p.name, FEATURE_KRAFT) == 0)
            kraft_check(t, c, p.value);
        else if (strcmp(p.value, "0") != 0)
            tool_usage(t, "%s isn't there yet above level 0: it comes with the behaviour that it stands for",
                       p.name);
    }
    return !t->ended;
}

static void format_json(struct tool *t, const struct config *c)
{
    const char **dirs;
    struct json j = tool_json(t);
    struct log_meta meta = {.cluster_id = ""};
    int n = storage_dirs(t, c, &dirs);

    if (log_meta_read(t->io, dirs[0], &meta))
        return;
    json_open(&j, NULL, '{');
    json_str(&j, "clusterId", meta.cluster_id);
    json_int(&j, "nodeId", meta.node_id);
    json_open(&j, "directories", '[');
    for (int i = 0; i < n; i++)
        json_str(&j, NULL, dirs[i]);
    json_close(&j, ']');
    json_close(&j, '}');
    bytes_printf(&t->out, "\n");
}

/* ---- who begins the quorum ---- */

/* One of the three, at most. */
static bool flags_agree(struct tool *t)
{
    static const char *const words[] = {"standalone", "no-initial-controllers", "initial-controllers"};
    static const char letters[] = {'s', 'N', 'I'};
    int given = -1;

    for (int i = 0; i < 3; i++) {
        if (!flag_given(&t->flags, words[i]))
            continue;
        if (given >= 0)
            tool_usage(t, "argument --%s/-%c: not allowed with argument --%s/-%c", words[i], letters[i],
                       words[given], letters[given]);
        given = i;
    }
    return !t->ended;
}

static bool voters_find(struct tool *t, const struct config *c, struct formatted *out)
{
    bool fixed = config_list(c, C_controller_quorum_voters).n > 0,
         alone = flag_given(&t->flags, "standalone");
    const char *list = flag_text(&t->flags, "initial-controllers");
    char why[VOTER_LIST_WHY_MAX];

    *out = (struct formatted){.n = 0};
    if (!fixed && config_controls(c) && !alone && !list && !flag_given(&t->flags, "no-initial-controllers"))
        tool_fail(
            t, "Because controller.quorum.voters is not set on this controller, you must specify one of the "
               "following: --standalone, --initial-controllers, or --no-initial-controllers.");
    else if (fixed && (alone || list))
        tool_fail(
            t,
            "You cannot specify controller.quorum.voters and format the node with --initial-controllers or "
            "--standalone. If you want to use dynamic quorum, please remove controller.quorum.voters and "
            "specify controller.quorum.bootstrap.servers instead.");
    else if (alone && !config_controls(c))
        tool_fail(t, "You can only use --standalone on a controller.");
    else if (list && !voter_list_parse(list, out, why))
        tool_fail(t, "%s", why);
    else if (alone)
        storage_alone(t, c, out);
    return !t->ended;
}

void cmd_format(struct tool *t)
{
    struct storage_plan plan = {.cluster_id = flag_text(&t->flags, "cluster-id"),
                                .again = flag_given(&t->flags, "ignore-formatted")};
    struct uuid parsed;
    struct config *c;

    if (plan.cluster_id && !uuid_parse(SLICE(plan.cluster_id), &parsed)) {
        tool_usage(t, "--cluster-id takes an id of 22 letters as `weir random-uuid` prints, not \"%s\"",
                   plan.cluster_id);
        return;
    }
    plan.level = release_level(t);
    if (t->ended || !flags_agree(t) || !(c = storage_config_flags(t)))
        return;
    if (voters_find(t, c, &plan.first) && features_check(t, c, &plan.level) && storage_format(t, c, &plan) &&
        t->json)
        format_json(t, c);
    config_drop(c);
}
