#include "tests/unit/broker/config_world.h"

static const char *env(void *arg, const char *name)
{
    struct small_world *w = arg;

    for (int i = 0; i < 4 && w->env[i][0]; i++)
        if (strcmp(w->env[i][0], name) == 0)
            return w->env[i][1];
    return NULL;
}

static enum err read_text(void *arg, const char *path, struct bytes *to)
{
    struct small_world *w = arg;

    for (int i = 0; i < 4 && w->files[i][0]; i++)
        if (strcmp(w->files[i][0], path) == 0) {
            bytes_add(to, w->files[i][1], strlen(w->files[i][1]));
            return E_OK;
        }
    return E_NOENT;
}

static void warn(void *arg, const char *line)
{
    struct small_world *w = arg;

    bytes_printf(&w->warned, "%s\n", line);
}

void small_world_init(struct small_world *w)
{
    *w = (struct small_world){.heap = heap_new(true)};
    w->calls = (struct config_world){.env = env, .read = read_text, .warn = warn, .arg = w};
    bytes_init(&w->warned, w->heap);
    bytes_init(&w->why, w->heap);
}

struct config *small_load_bare(struct small_world *w, const char *text, const char *const *sets, int n_sets)
{
    struct config_load from = {
        .world = &w->calls, .path = text ? "server.properties" : NULL, .sets = sets, .n_sets = n_sets};
    struct config *c = NULL;

    w->files[0][0] = "server.properties";
    w->files[0][1] = text ? text : "";
    w->why.len = 0;
    if (config_load(w->heap, &from, &w->why, &c) != E_OK)
        return NULL;
    return c;
}

struct config *small_load(struct small_world *w, const char *text)
{
    static const char *const needed[] = {
        "process.roles=broker,controller",
        "controller.listener.names=CONTROLLER",
        "controller.quorum.bootstrap.servers=localhost:9093",
    };
    const char *sets[5];
    int n = 0;

    for (; n < 3; n++)
        sets[n] = needed[n];
    if (!strstr(text, "node.id="))
        sets[n++] = "node.id=1";
    if (strncmp(text, "listeners=", 10) != 0 && !strstr(text, "\nlisteners="))
        sets[n++] = "listeners=PLAINTEXT://:9092,CONTROLLER://:9093";
    return small_load_bare(w, text, sets, n);
}

bool small_said(const struct bytes *b, const char *part)
{
    return b->len && memmem(b->p, b->len, part, strlen(part)) != NULL;
}

struct config *small_config(struct small_world *w, const char *text)
{
    struct config *c;

    small_world_init(w);
    c = small_load(w, text);
    if (!c)
        test_fail(__FILE__, __LINE__, "%.*s", (int)w->why.len, (char *)w->why.p);
    return c;
}
