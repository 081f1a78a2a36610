/* weir metadata shell: the image as a tree of files. Commands that were typed behind the path, or come from a file, run
 * here; a person at a terminal gets weir-console, which has the line editor. */
#include "tools/cmd_metadata.h"
#include "tools/metadata_shell.h"

const struct flag flags_metadata_shell[] = {METADATA_SHELL_FLAGS, FLAGS_METADATA, {0}};

static void written(void *arg)
{
    meta_flush(arg);
}

static const char *path_of(struct tool *t)
{
    const char *path = flag_text(&t->flags, "snapshot");

    return path ? path : flag_text(&t->flags, "directory");
}

bool metadata_shell_open(struct tool *t, struct metadata_shell *m)
{
    const char *at = flag_text(&t->flags, "at"), *path = path_of(t);
    struct meta_point point = META_END;

    if (path && flag_text(&t->flags, "bootstrap-controller")) {
        tool_usage(t, "--bootstrap-controller stands in place of the path: both are too many");
        return false;
    }
    m->words = path ? 0 : meta_words(t);
    if (!(path ? meta_place_find(t, path, &m->place) : meta_open(t, &m->place)) ||
        (at && !meta_point(t, at, &point)) || !meta_walk_open(&m->walk, t, &m->place, point, false))
        return false;
    m->image = meta_walk_to(&m->walk, point);
    if (!m->image) {
        meta_walk_close(&m->walk);
        return false;
    }
    meta_shell_init(&m->shell, t->heap, m->image, &t->out, written, t);
    return true;
}

void metadata_shell_close(struct metadata_shell *m)
{
    meta_shell_drop(&m->shell);
    image_unref(m->image, &m->walk.state.grave);
    meta_walk_close(&m->walk);
}

static void run_script(struct tool *t, struct meta_shell *s, const char *path)
{
    struct bytes text;
    char *rest, *line;

    bytes_init(&text, t->heap);
    enum err err = config_read_file(t->io, path, &text);
    if (err)
        tool_fail(t, "%s can't be read: %s", path, err_text(err));
    rest = arena_str(&t->arena, bytes_slice(&text));
    while (!err && !s->ended && (line = strsep(&rest, "\n")))
        meta_shell_run(s, line);
    bytes_drop(&text);
}

static const char *joined(struct tool *t, int from)
{
    const char *line = "";

    for (int i = from; i < t->flags.n_rest; i++)
        line = arena_printf(&t->arena, "%s%s%s", line, i > from ? " " : "", t->flags.rest[i]);
    return line;
}

void cmd_metadata_shell(struct tool *t)
{
    const char *script = flag_text(&t->flags, "script");
    struct metadata_shell m;

    if (t->flags.n_rest == (path_of(t) ? 0 : meta_words(t)) && !script) {
        tool_exec(t, "weir-console", "metadata-shell");
        return;
    }
    if (!metadata_shell_open(t, &m))
        return;
    if (script)
        run_script(t, &m.shell, script);
    else
        meta_shell_run(&m.shell, joined(t, m.words));
    if (m.shell.failed)
        t->exit = EXIT_FAILED;
    metadata_shell_close(&m);
}
