#include "tests/sim/whole.h"
#include "base/check.h"
#include "log/dir.h"
#include <stdio.h>
#include <string.h>

enum { SETS_MAX = 32, DIRS_MAX = 4, WORDS = 64 };
static const int64_t EXIT_NS = 100000000; /* from the server's last word to the end of its last loop */

static const char *no_env(void *arg, const char *name)
{
    return NULL;
}

static enum err no_file(void *arg, const char *path, struct bytes *to)
{
    return E_NOENT;
}

static void warned(void *arg, const char *line)
{
    fprintf(stderr, "settings: %s\n", line);
}

/* ---- settings and format ---- */

static void settings_load(struct whole *w, const char *const *sets, int n_sets)
{
    const struct config_world world = {.env = no_env, .read = no_file, .warn = warned};
    static const struct {
        const char *roles, *listeners, *advertised;
    } as[] = {[WHOLE_BOTH] = {"broker,controller", "PLAINTEXT://:9092,CONTROLLER://:9093", "PLAINTEXT"},
              [WHOLE_BROKER] = {"broker", "PLAINTEXT://:9092", "PLAINTEXT"},
              [WHOLE_CONTROLLER] = {"controller", "CONTROLLER://:9093", "CONTROLLER"}};
    char quorum[WORDS];
    const char *all[SETS_MAX] = {"controller.listener.names=CONTROLLER",
                                 quorum,
                                 "num.network.threads=2",
                                 "num.io.threads=2",
                                 "offsets.topic.replication.factor=1",
                                 "transaction.state.log.replication.factor=1",
                                 "transaction.state.log.min.isr=1"};
    struct config_load from = {.world = &world, .sets = all};
    char dirs[DIRS_MAX * 16] = "log.dirs=", id[WORDS], told[WORDS], roles[WORDS], listeners[WORDS];
    struct bytes why;
    int n = 7;

    for (int i = 0; i < w->n_dirs; i++)
        snprintf(dirs + strlen(dirs), sizeof(dirs) - strlen(dirs), "%s/data/%d", i ? "," : "", i);
    snprintf(id, sizeof(id), "node.id=%d", w->id);
    if (w->role == WHOLE_BROKER)
        snprintf(quorum, sizeof(quorum), "controller.quorum.bootstrap.servers=localhost:9093");
    else
        snprintf(quorum, sizeof(quorum), "controller.quorum.voters=%d@localhost:9093", w->id);
    all[n++] = dirs;
    all[n++] = id;
    snprintf(told, sizeof(told), "advertised.listeners=%s://10.0.0.%d:%d", as[w->role].advertised, w->id,
             w->role == WHOLE_CONTROLLER ? WHOLE_CONTROL_PORT : WHOLE_PORT);
    snprintf(roles, sizeof(roles), "process.roles=%s", as[w->role].roles);
    snprintf(listeners, sizeof(listeners), "listeners=%s", as[w->role].listeners);
    all[n++] = told;
    all[n++] = roles;
    all[n++] = listeners;
    ASSERT(n + n_sets <= SETS_MAX);
    for (int i = 0; i < n_sets; i++)
        all[n++] = sets[i];
    from.n_sets = n;
    bytes_init(&why, w->heap);
    if (config_load(w->heap, &from, &why, &w->config) != E_OK) {
        fprintf(stderr, "%.*s\n", (int)why.len, (const char *)why.p);
        ASSERT(false);
    }
    bytes_drop(&why);
}

/* What `weir format` leaves, durable. */
void whole_dir(struct whole *w, const char *dir, uint8_t mark)
{
    char path[WORDS], text[256], uuid[UUID_TEXT_LEN + 1];
    struct uuid id = {0};

    memset(id.b, mark, sizeof(id.b)); /* of node 1; each other node has its own */
    id.b[0] = (uint8_t)(id.b[0] + w->id - 1);
    id.b[1] = (uint8_t)(id.b[1] + w->disks);
    uuid_text(id, uuid);
    snprintf(path, sizeof(path), "%s/meta.properties", dir);
    snprintf(text, sizeof(text), "#\nversion=1\ncluster.id=sim-cluster\nnode.id=%d\ndirectory.id=%s\n", w->id,
             uuid);
    ASSERT(sim_file_put(w->s, w->id, path, text, strlen(text)) == E_OK);
}

static void dirs_format(struct whole *w)
{
    for (int i = 0; i < w->n_dirs; i++) {
        char dir[WORDS];
        snprintf(dir, sizeof(dir), "/data/%d", i);
        whole_dir(w, dir, (uint8_t)(0x11 + i));
    }
}

void whole_new_disk(struct whole *w)
{
    sim_disk_new(w->s, w->id);
    w->disks++;
    dirs_format(w);
}

struct whole *whole_new(struct sim *s, int id, int n_dirs, const char *const *sets, int n_sets)
{
    return whole_new_as(s, id, WHOLE_BOTH, n_dirs, sets, n_sets);
}

struct whole *whole_new_as(struct sim *s, int id, enum whole_role role, int n_dirs, const char *const *sets,
                           int n_sets)
{
    struct heap *heap = heap_new(true); /* of a life that crashed, settings made from these are left in it */
    struct whole *w = heap_alloc(heap, sizeof(*w));

    ASSERT(n_dirs <= DIRS_MAX);
    *w = (struct whole){.s = s, .id = id, .role = role, .heap = heap, .n_dirs = n_dirs};
    settings_load(w, sets, n_sets);
    (void)sim_node(s, id); /* a disk begins with its machine */
    sim_exit(s, id);
    dirs_format(w);
    return w;
}

/* ---- life ---- */

static void on_ready(void *arg, const struct addr *bound, int n_bound)
{
    struct whole *w = arg;

    w->ready = true;
}

static void on_stopped(void *arg, enum err why, const char *text)
{
    struct whole *w = arg;

    w->stopped = true;
    w->ready = false;
    w->stopped_at = sim_now(w->s);
    w->why = why;
    snprintf(w->text, sizeof(w->text), "%s", text);
    sim_note(w->s, "node %d stopped: %s", w->id, text);
}

void whole_start(struct whole *w)
{
    struct server_options o = {.config = w->config, .ready = on_ready, .stopped = on_stopped, .arg = w};

    ASSERT(!w->io);
    w->ready = w->stopped = false;
    w->why = E_OK;
    w->lives++;
    w->io = sim_node(w->s, w->id);
    w->node = server_start(w->io, &o);
}

void whole_stop(struct whole *w)
{
    if (!w->stopped) /* else it ends already */
        sim_signal(w->s, w->id);
}

void whole_crash(struct whole *w, enum sim_crash how)
{
    if (w->io && sim_up(w->s, w->id))
        sim_crash(w->s, w->id, how);
    w->io = NULL;
    w->node = NULL;
    w->ready = false;
}

bool whole_ready(void *whole)
{
    return ((struct whole *)whole)->ready;
}

bool whole_up(void *whole)
{
    const struct whole *w = whole;

    return w->ready || w->stopped || !w->io || !sim_up(w->s, w->id);
}

bool whole_over(void *whole)
{
    struct whole *w = whole;

    if (!w->io)
        return true;
    if (!w->stopped || sim_now(w->s) < w->stopped_at + EXIT_NS)
        return false;
    sim_exit(w->s, w->id);
    w->io = NULL;
    w->node = NULL;
    return true;
}

void whole_drop(struct whole *w)
{
    struct heap *heap = w->heap;

    whole_crash(w, SIM_PROCESS);
    config_drop(w->config);
    heap_free(heap, w);
    heap_drop(heap);
}
