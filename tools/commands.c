#include "tools/commands.h"

const struct command commands[] = {
#define COMMAND(name, second, script, words, id, summary)                                                    \
    {name, second, script, words, flags_##id, cmd_##id, summary},
#include "tools/commands.def"
#undef COMMAND
};
const int commands_n = sizeof(commands) / sizeof(commands[0]);

/* kafka-topics.sh, and without .sh as some packages call it. */
static const struct command *by_script(const char *word)
{
    const char *slash = strrchr(word, '/'), *base = slash ? slash + 1 : word;
    size_t len = strlen(base);

    if (len > 3 && strcmp(base + len - 3, ".sh") == 0)
        len -= 3;
    for (int i = 0; i < commands_n; i++) {
        const char *script = commands[i].script;

        if (script && strncmp(script, base, len) == 0 && strcmp(script + len, ".sh") == 0)
            return &commands[i];
    }
    return NULL;
}

static const struct command *by_words(int argc, char **argv, int *used)
{
    for (int i = 0; i < commands_n; i++) {
        const struct command *c = &commands[i];

        if (argc < 2 || strcmp(argv[1], c->name) != 0)
            continue;
        if (c->second && (argc < 3 || strcmp(argv[2], c->second) != 0))
            continue;
        *used = c->second ? 3 : 2;
        return c;
    }
    return NULL;
}

static void overview(struct tool *t)
{
    struct table table;

    bytes_printf(&t->out, "weir COMMAND [FLAGS]      weir COMMAND --help says more\n\n");
    table_init(&table, t->heap, 3);
    for (int i = 0; i < commands_n; i++) {
        const struct command *c = &commands[i];

        table_cell(&table, "  %s%s%s", c->name, c->second ? " " : "", c->second ? c->second : "");
        table_cell(&table, "%s", c->script ? c->script : "");
        table_cell(&table, "%s", c->summary);
    }
    table_print(&table, &t->out);
    table_drop(&table);
}

/* The second words that a first one takes; "": it is none. */
static const char *seconds_of(struct tool *t, const char *name)
{
    const char *text = "";

    for (int i = 0; i < commands_n; i++)
        if (commands[i].second && strcmp(commands[i].name, name) == 0)
            text = arena_printf(&t->arena, "%s%s%s", text, *text ? ", " : "", commands[i].second);
    return text;
}

static void no_command(struct tool *t, int argc, char **argv)
{
    const char **names = arena_alloc(&t->arena, (size_t)commands_n * sizeof(*names));
    const char *near;

    for (int i = 0; i < commands_n; i++)
        names[i] = commands[i].name;
    if (argc < 2 || strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 ||
        strcmp(argv[1], "-h") == 0) {
        overview(t);
        t->exit = argc < 2 ? EXIT_USAGE : EXIT_OK;
    } else if (strcmp(argv[1], "version") == 0 || strcmp(argv[1], "--version") == 0) {
        bytes_printf(&t->out, "weir %s (as Kafka %s)\n", WEIR_VERSION_TEXT, KAFKA_VERSION_TEXT);
    } else if (seconds_of(t, argv[1])[0]) {
        tool_usage(t, "weir %s does what? %s; `weir help` says more", argv[1], seconds_of(t, argv[1]));
    } else if ((near = nearest(argv[1], names, commands_n))) {
        tool_usage(t, "there is no command \"%s\"; did you mean \"%s\"? `weir help` lists them", argv[1],
                   near);
    } else {
        tool_usage(t, "there is no command \"%s\"; `weir help` lists them", argv[1]);
    }
}

static void command_help(struct tool *t)
{
    const struct command *c = t->command;

    bytes_printf(&t->out, "weir %s%s%s: %s\n\n", c->name, c->second ? " " : "", c->second ? c->second : "",
                 c->summary);
    flags_help(c->flags, &t->out);
}

void command_run(struct tool *t, int argc, char **argv)
{
    const struct command *c = by_script(argv[0]);
    struct bytes why;
    int used = 1;

    bytes_init(&why, t->heap);
    if (!c)
        c = by_words(argc, argv, &used);
    if (!c) {
        no_command(t, argc, argv);
        return;
    }
    t->command = c;
    t->argc = argc - used;
    t->argv = argv + used;
    bool parsed = flags_parse(&t->flags, c->flags, t->argc, t->argv, c->words, &t->arena, &why);
    if (!parsed)
        tool_usage(t, "%.*s; `weir %s%s%s --help` lists the flags", (int)why.len, (char *)why.p, c->name,
                   c->second ? " " : "", c->second ? c->second : "");
    bytes_drop(&why);
    if (!parsed)
        return;
    t->json = flag_given(&t->flags, "json");
    if (flag_given(&t->flags, "help"))
        command_help(t);
    else if (flag_given(&t->flags, "version"))
        bytes_printf(&t->out, "%s\n", WEIR_VERSION_TEXT);
    else
        c->run(t);
    if (t->behind)
        t->behind(t, t->behind_arg);
}
