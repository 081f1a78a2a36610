/* weir quorum recover: a quorum that has lost its majority for good begins again with the one voter that is left (what that
 * means, and what makes it safe: quorum/recover.h). First it only tells; what is given up has to be typed as a flag. */
#include "log/dir.h"
#include "quorum/recover.h"
#include "tools/commands.h"
#include "tools/storage.h"
#include <inttypes.h>

#define CONFIRM "give-up-the-other-voters"

/* clang-format off */
const struct flag flags_quorum_recover[] = {
    {"config", 'c', FLAG_TEXT, "FILE", NULL, NULL, "server.properties of the node that is left"},
    {"set", 0, FLAG_LIST, "NAME=VALUE", NULL, NULL, "a setting, over those of the file"},
    {CONFIRM, 0, FLAG_BOOL, NULL, NULL, NULL, "do it: what only the others have is lost, and none of them may come back with its disk"},
    FLAGS_TOOL, {0}};
/* clang-format on */

static const char *voters_text(struct tool *t, const struct voters *v)
{
    struct bytes text;
    const char *out;
    char id[UUID_TEXT_LEN + 1];

    bytes_init(&text, t->heap);
    for (int i = 0; i < v->n; i++) {
        uuid_text(v->v[i].directory_id, id);
        bytes_printf(&text, "%snode %d (%s)", i ? ", " : "", v->v[i].node,
                     uuid_is_zero(v->v[i].directory_id) ? "directory not known" : id);
    }
    out = arena_str(&t->arena, bytes_slice(&text));
    bytes_drop(&text);
    return out;
}

static void tell_json(struct tool *t, const struct recovery *r, bool done)
{
    struct json j = tool_json(t);

    json_open(&j, NULL, '{');
    json_int(&j, "logStart", r->log_start);
    json_int(&j, "logEnd", r->end);
    json_int(&j, "committedAtLeast", r->committed);
    json_int(&j, "epoch", r->epoch);
    json_bool(&j, "votes", r->votes);
    json_open(&j, "votersBefore", '[');
    for (int i = 0; i < r->voters.n; i++)
        json_int(&j, NULL, r->voters.v[i].node);
    json_close(&j, ']');
    json_bool(&j, "recovered", done);
    json_close(&j, '}');
    bytes_printf(&t->out, "\n");
}

static void tell(struct tool *t, const struct recovery *r, const char *dir, int32_t node)
{
    bytes_printf(&t->out, "%s/__cluster_metadata-0: offsets %" PRId64 " to %" PRId64 ", well.\n", dir,
                 r->log_start, r->end - 1);
    bytes_printf(&t->out, "Voters: %s.\n", voters_text(t, &r->voters));
    if (!r->votes)
        bytes_printf(
            &t->out,
            "Node %d is none of them: it followed, and may be further behind than a voter would be.\n", node);
    if (r->committed > 0)
        bytes_printf(&t->out,
                     "Had committed for certain: all below offset %" PRId64
                     ", where the newest snapshot ends.\n",
                     r->committed);
    bytes_printf(&t->out,
                 "Not known: whether offsets %" PRId64 " to %" PRId64
                 " had committed. They count as committed from then on.\n"
                 "Lost: whatever the other voters had committed at offset %" PRId64
                 " or beyond it, if there was anything. This "
                 "disk can't tell.\n",
                 r->committed, r->end - 1, r->end);
}

static void tell_next(struct tool *t, const struct recovery *r, int32_t node)
{
    bytes_printf(
        &t->out,
        "Recovered: node %d is the only voter, kraft.version is 1; the configuration is offset %" PRId64
        ", epoch %d.\n"
        "What quorum-state said before is in quorum-state.before-recover.\n"
        "Next:\n"
        "  1. Never start another voter of before with its old disk: two of them would go on with the old "
        "history.\n"
        "  2. In the settings of all nodes, controller.quorum.bootstrap.servers names this controller, and\n"
        "     controller.quorum.voters goes.\n"
        "  3. Start this node, and look: weir metadata stats, weir topics --describe.\n"
        "  4. Empty the other controllers' metadata directories, format them with the same cluster id and\n"
        "     --no-initial-controllers, start them, and add each: kafka-metadata-quorum.sh "
        "--bootstrap-controller HOST:PORT\n"
        "     --command-config FILE add-controller.\n"
        "  5. A broker that says that its copy of the metadata is of another history had followed further "
        "than this node:\n"
        "     empty its metadata directory's __cluster_metadata-0 and start it again.\n",
        node, r->end, r->epoch);
}

static struct quorum_settings settings_of(const struct config *c, const struct log_meta *meta)
{
    return (struct quorum_settings){
        .dir = config_metadata_dir(c),
        .node_id = meta->node_id,
        .directory_id = meta->directory_id,
        .segment_bytes = config_int(c, C_metadata_log_segment_bytes),
        .segment_ms = config_int(c, C_metadata_log_segment_ms),
        .retention_bytes = -1,
        .retention_ms = -1,
    };
}

/* With the lock held. */
static void recover_locked(struct tool *t, const struct config *c, const struct log_meta *meta)
{
    const struct quorum_settings settings = settings_of(c, meta);
    bool write = flag_given(&t->flags, CONFIRM);
    struct recovery r;
    enum err err = recover(t->io, &settings, write, &r);

    if (err == E_INVALID_REQUEST)
        tool_fail(t, "node %d is the only voter already: nothing is to be recovered", meta->node_id);
    else if (err == E_UNKNOWN_LEADER_EPOCH)
        tool_fail(t,
                  "%s: the epoch is %d already: a quorum can be recovered up to epoch %d, since epochs end "
                  "at %d",
                  settings.dir, r.epoch, RECOVER_EPOCH_MAX, INT32_MAX);
    else if (err == E_NOENT)
        tool_fail(t, "%s: there is no metadata log", settings.dir);
    else if (err)
        tool_fail(t, "%s: %s: %s; `weir metadata verify %s` says where; nothing is lost by trying again",
                  settings.dir, r.what, err_text(err), settings.dir);
    if (err)
        return;
    if (t->json) {
        tell_json(t, &r, write);
        return;
    }
    tell(t, &r, settings.dir, meta->node_id);
    if (write)
        tell_next(t, &r, meta->node_id);
    else
        bytes_printf(&t->out,
                     "Nothing was written. If the majority of the voters is gone for good: --" CONFIRM "\n");
}

void cmd_quorum_recover(struct tool *t)
{
    struct config *c = storage_config_flags(t);
    struct log_meta meta;
    struct file *lock = NULL;
    const char *dir;
    enum err err;

    if (!c)
        return;
    dir = config_metadata_dir(c);
    err = config_controls(c) ? log_dir_lock(t->io, dir, &lock) : E_OK;
    if (!config_controls(c))
        tool_fail(t, "process.roles: this node is no controller");
    else if (err == E_BUSY)
        tool_fail(t, "%s: a process uses this directory: stop the node first", dir);
    else if (err)
        tool_fail(t, "%s: %s", dir, err_text(err));
    else if ((err = log_meta_read(t->io, dir, &meta)) != E_OK)
        tool_fail(t, "%s/meta.properties: %s", dir, err_text(err));
    else if (meta.node_id != config_int(c, C_node_id))
        tool_fail(t, "%s: meta.properties says node.id=%d, the settings say %d", dir, meta.node_id,
                  (int)config_int(c, C_node_id));
    else
        recover_locked(t, c, &meta);
    if (lock)
        file_unref(lock);
    config_drop(c);
}
