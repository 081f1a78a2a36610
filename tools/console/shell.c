/* weir metadata shell at a terminal: lines with editing, history and completion (libedit); without a terminal, lines
 * as they come. */
#include "tools/console/shell.h"
#include "base/io_uv.h"
#include "tools/metadata_shell.h"
#include <histedit.h>
#include <stdlib.h>
#include <unistd.h>

struct session {
    struct tool tool;
    struct metadata_shell m;
    EditLine *el;
    History *history;
};

static void terminal_write(void *arg, int fd, struct slice bytes)
{
    (void)arg;
    while (bytes.len) {
        ssize_t n = write(fd, bytes.p, bytes.len);

        if (n <= 0)
            _exit(EXIT_FAILED);
        bytes = slice_of(bytes.p + n, bytes.len - (size_t)n);
    }
}

static void nothing(void *arg)
{
    (void)arg;
}

static void run_line(struct session *s, const char *line)
{
    meta_shell_run(&s->m.shell, line);
    tool_flush(&s->tool);
}

/* ---- completion ---- */

struct candidates {
    struct bytes common; /* what all of them begin with */
    struct bytes list;
    int n;
};

static void candidate(void *arg, const char *word)
{
    struct candidates *c = arg;
    size_t same = 0;

    while (c->n > 0 && same < c->common.len && word[same] == (char)c->common.p[same])
        same++;
    if (c->n++ == 0)
        bytes_add(&c->common, word, strlen(word));
    else
        c->common.len = same;
    bytes_printf(&c->list, "%s\n", word);
}

static unsigned char complete(EditLine *el, int key)
{
    struct candidates c = {0};
    struct session *s;
    unsigned char done = CC_ERROR;
    const LineInfo *info = el_line(el);
    size_t from, typed;
    char *line;

    (void)key;
    el_get(el, EL_CLIENTDATA, &s);
    bytes_init(&c.common, s->tool.heap);
    bytes_init(&c.list, s->tool.heap);
    line = heap_str(s->tool.heap, slice_of(info->buffer, (size_t)(info->cursor - info->buffer)));
    meta_shell_complete(&s->m.shell, line, &from, candidate, &c);
    typed = strlen(line) - from;
    if (c.n == 1 && c.common.p[c.common.len - 1] != '/')
        bytes_add(&c.common, " ", 1);
    bytes_add(&c.common, "", 1);
    if (c.n > 0 && c.common.len - 1 > typed) {
        done = el_insertstr(el, (char *)c.common.p + typed) ? CC_ERROR : CC_REFRESH;
    } else if (c.n > 1) {
        bytes_printf(&s->tool.out, "\n%.*s", (int)c.list.len, (char *)c.list.p);
        tool_flush(&s->tool);
        done = CC_REDISPLAY;
    }
    heap_free(s->tool.heap, line);
    bytes_drop(&c.list);
    bytes_drop(&c.common);
    return done;
}

static char *prompt(EditLine *el)
{
    static char text[] = "metadata> ";

    (void)el;
    return text;
}

/* ---- lines ---- */

static void edit_lines(struct session *s)
{
    HistEvent event;
    const char *line;
    int len;

    s->el = el_init("weir", stdin, stdout, stderr);
    s->history = history_init();
    history(s->history, &event, H_SETSIZE, 1000);
    history(s->history, &event, H_SETUNIQUE, 1);
    el_set(s->el, EL_CLIENTDATA, s);
    el_set(s->el, EL_PROMPT, prompt);
    el_set(s->el, EL_EDITOR, "emacs");
    el_set(s->el, EL_HIST, history, s->history);
    el_set(s->el, EL_ADDFN, "weir-complete", "complete a command or path", complete);
    el_set(s->el, EL_BIND, "^I", "weir-complete", NULL);
    while (!s->m.shell.ended && (line = el_gets(s->el, &len)) && len > 0) {
        if (len > 1)
            history(s->history, &event, H_ENTER, line);
        run_line(s, line);
    }
    history_end(s->history);
    el_end(s->el);
}

static void plain_lines(struct session *s)
{
    char *line = NULL;
    size_t room = 0;

    while (!s->m.shell.ended && getline(&line, &room, stdin) > 0)
        run_line(s, line);
    free(line);
    if (s->m.shell.failed)
        s->tool.exit = EXIT_FAILED;
}

int console_metadata_shell(int argc, char **argv)
{
    static const struct flag flags[] = {METADATA_SHELL_FLAGS, FLAGS_METADATA, {0}};
    static const struct tool_world world = {.write = terminal_write, .interruptible = nothing};
    struct io *io = io_uv_new();
    struct session s = {0};
    struct bytes why;

    tool_init(&s.tool, io, &world);
    bytes_init(&why, s.tool.heap);
    s.tool.argc = argc;
    s.tool.argv = argv;
    if (!flags_parse(&s.tool.flags, flags, argc, argv, 1, &s.tool.arena, &why)) {
        tool_usage(&s.tool, "%.*s", (int)why.len, (char *)why.p);
    } else if (metadata_shell_open(&s.tool, &s.m)) {
        if (isatty(0))
            edit_lines(&s);
        else
            plain_lines(&s);
        metadata_shell_close(&s.m);
    }
    if (s.tool.behind)
        s.tool.behind(&s.tool, s.tool.behind_arg);
    if (s.tool.running)
        io_uv_run(io);
    bytes_drop(&why);
    tool_flush(&s.tool);
    tool_end(&s.tool);
    io_uv_drop(io);
    return s.tool.exit;
}
