#include "tools/meta_shell.h"
#include <fnmatch.h>
#include <stdio.h>

enum { WORDS_MAX = 64 };

void meta_shell_init(struct meta_shell *s, struct heap *h, const struct image *image, struct bytes *out,
                     void (*written)(void *arg), void *arg)
{
    *s = (struct meta_shell){.tree = {image, h}, .out = out, .written = written, .arg = arg};
    bytes_init(&s->cwd, h);
    tree_path("", "/", &s->cwd);
}

void meta_shell_drop(struct meta_shell *s)
{
    bytes_drop(&s->cwd);
}

static void complain(struct meta_shell *s, const char *command, const char *path, const char *what)
{
    bytes_printf(s->out, "%s: %s: %s\n", command, path, what);
    s->failed = true;
}

/* ---- paths, with patterns ---- */

typedef void (*path_fn)(struct meta_shell *s, const char *path, const struct tree_node *n, void *arg);

struct match {
    struct meta_shell *s;
    const char *pattern; /* of this part */
    const char *rest;    /* behind it, "" or "/…" */
    const char *base;    /* the directory's path, "" for the root */
    path_fn each;
    void *arg;
    int found;
};

static int match_from(struct meta_shell *s, const char *base, const struct tree_node *dir, const char *rest,
                      path_fn each, void *arg);

static bool match_child(void *arg, const char *name, const struct tree_node *n)
{
    struct match *m = arg;
    struct bytes path;

    if (fnmatch(m->pattern, name, 0) != 0)
        return true;
    bytes_init(&path, m->s->tree.heap);
    bytes_printf(&path, "%s/%s", m->base, name);
    bytes_add(&path, "", 1);
    m->found += match_from(m->s, (char *)path.p, n, m->rest, m->each, m->arg);
    bytes_drop(&path);
    m->s->written(m->s->arg);
    return true;
}

/* How many there were. rest: "" or "/part/part…". */
static int match_from(struct meta_shell *s, const char *base, const struct tree_node *dir, const char *rest,
                      path_fn each, void *arg)
{
    size_t len = *rest ? strcspn(rest + 1, "/") : 0;
    struct match m = {.s = s, .base = base, .rest = rest + 1 + len, .each = each, .arg = arg};
    struct bytes part;
    struct tree_node n;

    if (len == 0) {
        each(s, *base ? base : "/", dir, arg);
        return 1;
    }
    bytes_init(&part, s->tree.heap);
    bytes_add(&part, rest + 1, len);
    bytes_add(&part, "", 1);
    m.pattern = (char *)part.p;
    if (strpbrk(m.pattern, "*?[")) {
        if (dir->directory)
            tree_children(&s->tree, dir, match_child, &m);
    } else if (tree_child(&s->tree, dir, m.pattern, &n)) {
        (void)match_child(&m, m.pattern, &n);
    }
    bytes_drop(&part);
    return m.found;
}

static void each_path(struct meta_shell *s, const char *command, const char *path, path_fn each, void *arg)
{
    struct tree_node root = tree_root();
    struct bytes full;

    bytes_init(&full, s->tree.heap);
    tree_path((char *)s->cwd.p, path, &full);
    if (match_from(s, "", &root, full.len > 1 ? (char *)full.p : "", each, arg) == 0)
        complain(s, command, path, "no such file or directory");
    bytes_drop(&full);
}

/* ---- commands ---- */

static bool list_name(void *arg, const char *name, const struct tree_node *n)
{
    struct meta_shell *s = arg;

    (void)n;
    bytes_printf(s->out, "%s\n", name);
    s->written(s->arg);
    return true;
}

static void ls_one(struct meta_shell *s, const char *path, const struct tree_node *n, void *arg)
{
    const int *many = arg;

    if (!n->directory) {
        bytes_printf(s->out, "%s\n", path);
        return;
    }
    if (*many > 1)
        bytes_printf(s->out, "%s:\n", path);
    tree_children(&s->tree, n, list_name, s);
}

static void cat_one(struct meta_shell *s, const char *path, const struct tree_node *n, void *arg)
{
    (void)arg;
    if (n->directory)
        complain(s, "cat", path, "is a directory");
    else
        tree_cat(&s->tree, n, s->out);
}

static void cd_one(struct meta_shell *s, const char *path, const struct tree_node *n, void *arg)
{
    (void)arg;
    if (n->directory)
        tree_path("", path, &s->cwd);
    else
        complain(s, "cd", path, "not a directory");
}

struct descent {
    struct meta_shell *s;
    struct bytes path; /* find: of the directory */
    int depth;         /* tree: how deep */
};

static bool tree_line(void *arg, const char *name, const struct tree_node *n)
{
    struct descent *d = arg;

    bytes_printf(d->s->out, "%*s%s%s\n", 2 * d->depth, "", name, n->directory ? ":" : "");
    d->s->written(d->s->arg);
    d->depth++;
    if (n->directory)
        tree_children(&d->s->tree, n, tree_line, d);
    d->depth--;
    return true;
}

static void tree_one(struct meta_shell *s, const char *path, const struct tree_node *n, void *arg)
{
    struct descent d = {.s = s};

    (void)arg;
    (void)tree_line(&d, path, n);
}

static bool find_line(void *arg, const char *name, const struct tree_node *n)
{
    struct descent *d = arg;
    size_t len = d->path.len;

    bytes_printf(&d->path, "/%s", name);
    bytes_add(d->s->out, d->path.p, d->path.len);
    bytes_printf(d->s->out, "\n");
    d->s->written(d->s->arg);
    if (n->directory)
        tree_children(&d->s->tree, n, find_line, d);
    d->path.len = len;
    return true;
}

static void find_one(struct meta_shell *s, const char *path, const struct tree_node *n, void *arg)
{
    struct descent d = {.s = s};

    (void)arg;
    bytes_init(&d.path, s->tree.heap);
    bytes_printf(s->out, "%s\n", path);
    bytes_printf(&d.path, "%s", strcmp(path, "/") == 0 ? "" : path);
    if (n->directory)
        tree_children(&s->tree, n, find_line, &d);
    bytes_drop(&d.path);
}

static const struct {
    const char *name, *help;
    path_fn each; /* of a command that takes paths */
    bool needs;   /* at least one */
} commands[] = {{"cat", "cat PATH…   the content of files", cat_one, true},
                {"cd", "cd [PATH]   go there", cd_one, false},
                {"exit", "exit        end", NULL, false},
                {"find", "find [PATH…]  all that is below, as paths", find_one, false},
                {"help", "help        this text; paths may have * ? []", NULL, false},
                {"ls", "ls [PATH…]  what is in a directory", ls_one, false},
                {"pwd", "pwd         where you are", NULL, false},
                {"quit", "quit        end", NULL, false},
                {"tree", "tree [PATH…]  all that is below, indented", tree_one, false}};

enum { COMMANDS_N = sizeof(commands) / sizeof(commands[0]) };

static void run_alone(struct meta_shell *s, const char *name)
{
    if (strcmp(name, "pwd") == 0)
        bytes_printf(s->out, "%s\n", (char *)s->cwd.p);
    else if (strcmp(name, "help") != 0)
        s->ended = true;
    else
        for (int i = 0; i < COMMANDS_N; i++)
            bytes_printf(s->out, "%s\n", commands[i].help);
}

static void run_words(struct meta_shell *s, char **words, int n)
{
    for (int i = 0; i < COMMANDS_N; i++) {
        const char *home = strcmp(words[0], "cd") == 0 ? "/" : "";

        if (strcmp(commands[i].name, words[0]) != 0)
            continue;
        if (!commands[i].each)
            run_alone(s, words[0]);
        else if (n == 1 && commands[i].needs)
            complain(s, words[0], "which files", words[0]);
        else if (n == 1)
            each_path(s, words[0], home, commands[i].each, &n);
        for (int k = 1; k < n && commands[i].each; k++)
            each_path(s, words[0], words[k], commands[i].each, &(int){n - 1});
        return;
    }
    complain(s, words[0], "no such command", "help lists them");
}

void meta_shell_run(struct meta_shell *s, const char *line)
{
    char *copy = heap_str(s->tree.heap, SLICE(line)), *rest = copy, *word, *words[WORDS_MAX];
    int n = 0;

    while (n < WORDS_MAX && (word = strsep(&rest, " \t\r\n")))
        if (*word)
            words[n++] = word;
    if (n > 0 && words[0][0] != '#')
        run_words(s, words, n);
    heap_free(s->tree.heap, copy);
    s->written(s->arg);
}

/* ---- completion ---- */

struct completion {
    struct bytes word; /* what is typed up to the last '/', then each candidate */
    size_t head;
    const char *begin; /* of the name behind it */
    void (*each)(void *arg, const char *word);
    void *arg;
};

static bool complete_name(void *arg, const char *name, const struct tree_node *n)
{
    struct completion *c = arg;

    if (strncmp(name, c->begin, strlen(c->begin)) != 0)
        return true;
    c->word.len = c->head;
    bytes_printf(&c->word, "%s%s", name, n->directory ? "/" : "");
    bytes_add(&c->word, "", 1);
    c->each(c->arg, (char *)c->word.p);
    return true;
}

void meta_shell_complete(struct meta_shell *s, const char *line, size_t *from,
                         void (*each)(void *arg, const char *word), void *arg)
{
    struct completion c = {.each = each, .arg = arg};
    struct bytes path, full;
    struct tree_node dir;
    const char *slash;

    for (*from = strlen(line); *from > 0 && !strchr(" \t", line[*from - 1]);)
        --*from;
    if (strspn(line, " \t") == *from) {
        for (int i = 0; i < COMMANDS_N; i++)
            if (strncmp(commands[i].name, line + *from, strlen(line + *from)) == 0)
                each(arg, commands[i].name);
        return;
    }
    bytes_init(&c.word, s->tree.heap);
    bytes_init(&path, s->tree.heap);
    bytes_init(&full, s->tree.heap);
    slash = strrchr(line + *from, '/');
    c.begin = slash ? slash + 1 : line + *from;
    bytes_add(&c.word, line + *from, (size_t)(c.begin - (line + *from)));
    c.head = c.word.len;
    bytes_add(&path, c.word.p, c.word.len);
    bytes_add(&path, "", 1);
    tree_path((char *)s->cwd.p, (char *)path.p, &full);
    if (tree_find(&s->tree, (char *)full.p, &dir) && dir.directory)
        tree_children(&s->tree, &dir, complete_name, &c);
    bytes_drop(&full);
    bytes_drop(&path);
    bytes_drop(&c.word);
}
