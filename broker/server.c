/* Start:  control loop: directories → first NET loop → the controller's listener opens there, the quorum loads: with other
 *         voters, over that listener → loops, partitions found → first image published → the other listeners open → this broker registers, is unfenced, and the image that says so is published → connections,
 *         which waited in their listeners, are let in → `ready`. So nobody is served by what an earlier life left behind: a
 *         broker that is fenced, leaders' epochs of before a power cut.
 *         A controller alone has no partitions and doesn't register: it is ready when its image is published. A broker alone has
 *         no controller's listener: its quorum loads by following those that vote.
 * Stop:   this broker leaves: others take over what it leads, while it still serves (session.h) → listeners close → NET loops end their connections → checkpoint round ends → DISK loops close their logs → loops
 *         end → checkpoints and clean markers → metadata log closes → `stopped`. Each step waits for the one before. */
#include "base/check.h"
#include "broker/replica/upkeep.h"
#include "broker/server_internal.h"
#include <stdio.h>

/* ---- images reach the loops ---- */

/* The last loop to finish lets checkpoints, and this boot's id, be written. */
static void all_recovered(struct msg *msg)
{
    struct server *s = container_of(msg, struct server, recovered);
    enum err err = boot_recovered(&s->boot);

    if (err)
        TRACE(s->node.io, checkpoint_failed, "a log directory", s->boot.why);
    if (s->boot.scanning)
        TRACE(s->node.io, recovery_ends);
    rounds_run(s->rounds);
}

static void recovered_home(struct msg *msg)
{
    struct server *s = container_of(msg, struct server, recovered);

    if (s->phase == STOPPING)
        return;
    s->recovered.run = all_recovered;
    loop_post(s->node.disks->v[0]->loop, &s->recovered);
    s->scans = false;
    io_threads_check(s);
}

static void disk_recovered(void *arg)
{
    struct server *s = server_of(((struct disk_loop *)arg)->node);

    if (atomic_fetch_sub(&s->recovering, 1) == 1)
        loop_post(s->control_loop,
                  &s->recovered); /* which knows whether the first DISK loop is still there */
}

static void disk_adopted(struct image_slot *slot, const struct published *old, const struct published *now)
{
    struct disk_loop *d = container_of(slot, struct disk_loop, slot);

    disk_loop_adopted(slot, old, now);
    if (old)
        return;
    if (boot_must_recover(&server_of(d->node)->boot))
        upkeep_recover(d->partitions->upkeep, disk_recovered, d);
    else if (d->index == 0)
        rounds_run(server_of(d->node)->rounds);
}

/* ---- loops ---- */

static void disk_loops_start(struct server *s)
{
    struct node *n = &s->node;
    int wanted = (int)config_int(control_config(n->control), C_num_io_threads);
    struct disk_table *t = heap_alloc(n->heap, sizeof(*t) + (size_t)wanted * sizeof(struct disk_loop *));

    n->disks = t;
    t->n = t->n_active = wanted;
    for (int i = 0; i < wanted; i++)
        t->v[i] = disk_loop_start(s, i);
    for (int i = 0; i < wanted; i++)
        t->v[i]->disks = t;
}

/* The one that serves controllers, before there is anything to serve for clients. */
static void net_first_start(struct server *s)
{
    struct node *n = &s->node;

    n->net_shared = net_shared_new(n, &s->limits);
    n->net = heap_alloc(n->heap, sizeof(struct net_loop *));
    n->net[0] = net_loop_start(s, 0);
    n->n_net = 1;
}

static void disks_shared(struct msg *msg)
{
    struct server *s = container_of(msg, struct server, shared);

    s->net_first->disks = s->shared_disks;
}

static void net_loops_start(struct server *s)
{
    struct node *n = &s->node;
    int wanted = (int)config_int(control_config(n->control), C_num_network_threads);

    n->net = heap_resize(n->heap, n->net, (size_t)wanted * sizeof(struct net_loop *));
    for (; n->n_net < wanted; n->n_net++)
        n->net[n->n_net] = net_loop_start(s, n->n_net);
    s->shared_disks = n->disks;
    s->shared.run = disks_shared;
    loop_post(n->net[0]->loop, &s->shared); /* from now on it may look at the others */
}

/* ---- start ---- */

static void listeners_opened(struct msg *msg)
{
    struct server *s = container_of(msg, struct server, opened);

    if (s->phase == STOPPING)
        return;
    if (s->open_err) {
        server_fail(s, s->open_err, "a listener could not be opened");
        return;
    }
    server_join(s);
}

/* On the first NET loop: those of controllers, or the others. */
static enum err listeners_of(struct server *s, bool controllers)
{
    enum err err = E_OK;

    for (int i = 0; i < s->n_listeners && !err; i++)
        if (s->listeners[i].config->controller == controllers)
            err = listeners_open(s->node.net_shared, s->net_first, &s->listeners[i], 1);
    return err;
}

static void listeners_run(struct msg *msg)
{
    struct server *s = container_of(msg, struct server, open);

    s->open_err = listeners_of(s, false);
    s->opened.run = listeners_opened;
    loop_post(s->control_loop, &s->opened);
}

static void early_opened(struct msg *msg)
{
    struct server *s = container_of(msg, struct server, early);

    if (s->phase != STOPPING && s->early_err)
        server_fail(s, s->early_err, "the controller's listener could not be opened");
}

static void early_run(struct msg *msg)
{
    struct server *s = container_of(msg, struct server, early);

    s->early_err = listeners_of(s, true);
    s->early.run = early_opened;
    loop_post(s->control_loop, &s->early);
}

/* A buffer of a fixed size only where somebody asked for one: the kernel fits them to the way better. */
static int32_t buffer_bytes(const struct config *c, enum config_id id)
{
    return config_is_given(c, id) ? (int32_t)config_int(c, id) : -1;
}

/* Each listener's address: its host's first, or any. */
static enum err listeners_resolve(struct server *s)
{
    int n;
    const struct config_listener *v = config_listeners(s->node.config, &n);

    for (int i = 0; i < n && s->n_listeners < LISTENERS_MAX; i++) {
        struct listener_open *o = &s->listeners[s->n_listeners];
        int found = 1;
        enum err err = E_OK;
        if (v[i].host[0])
            err = addr_find(s->node.io, v[i].host, v[i].port, &o->at, 1, &found);
        if (err || found == 0) {
            snprintf(s->boot.why, sizeof(s->boot.why), "listener %s: no address for %s", v[i].name,
                     v[i].host);
            return err ? err : E_NOENT;
        }
        o->at.port = v[i].port;
        o->config = &v[i];
        o->serve = v[i].controller ? handler_find_controller : handler_find;
        o->send_bytes = buffer_bytes(s->node.config, C_socket_send_buffer_bytes);
        o->receive_bytes = buffer_bytes(s->node.config, C_socket_receive_buffer_bytes);
        s->n_listeners++;
    }
    return E_OK;
}

/* Partitions, and what brings them up to date: of a broker. */
static void partitions_start(struct server *s, const struct image *image)
{
    struct node *n = &s->node;
    const struct image_broker *self = image_broker(image, n->id);

    disk_loops_start(s);
    s->rounds = rounds_new(n, &s->boot);
    s->recovering = n->disks->n;
    s->scans = boot_must_recover(&s->boot);
    s->recovered.run = recovered_home;
    s->kept_epoch = boot_kept_epoch(&s->boot, self ? self->reg.epoch : -1);
    boot_find(&s->boot, n, image);
    for (int i = 0; i < n->disks->n; i++)
        control_slot(n->control, &n->disks->v[i]->slot, n->disks->v[i]->loop, LOOP_DISK, disk_adopted);
}

static void on_loaded(void *arg, const struct image *image)
{
    struct server *s = arg;
    struct node *n = &s->node;

    if (s->phase == STOPPING)
        return;
    if (s->serves)
        partitions_start(s, image);
    n->reader = loop_start(n->io, LOOP_DISK, "reader");
    net_loops_start(s);
    control_slot(n->control, &s->limits_slot, n->reader, LOOP_DISK, limits_adopted);
    for (int i = 0; i < n->n_net; i++)
        control_slot(n->control, &n->net[i]->slot, n->net[i]->loop, LOOP_NET, net_adopted);
    control_publish(n->control);
    s->open.run = listeners_run;
    loop_post(n->net[0]->loop, &s->open);
}

static void on_leader(void *arg, bool self)
{
    member_leader(((struct server *)arg)->member, self);
}

static void on_deserted(void *arg, bool is)
{
    member_deserted(((struct server *)arg)->member, is);
}

static void on_published(void *arg, const struct image *image)
{
    member_image(((struct server *)arg)->member, image);
}

static void on_failed(void *arg, enum err err, const char *what)
{
    server_fail(arg, err, what);
}

static void server_begin(struct msg *msg)
{
    struct server *s = container_of(msg, struct server, begin);
    const struct control_ops ops = {.loaded = on_loaded,
                                    .leader = on_leader,
                                    .deserted = on_deserted,
                                    .published = on_published,
                                    .configured = on_configured,
                                    .failed = on_failed,
                                    .arg = s};
    struct control_settings settings = {.loop = s->control_loop, .config = s->node.config};
    enum err err = boot_open(&s->boot, s->node.io, s->node.config);

    if (err) {
        server_fail(s, err, s->boot.why);
        return;
    }
    err = listeners_resolve(s);
    if (err) {
        server_fail(s, err, s->boot.why);
        return;
    }
    net_limits_of(s->node.io, s->node.heap, s->node.config, &s->limits);
    err = boot_running(&s->boot);
    if (err) {
        server_fail(s, err, s->boot.why);
        return;
    }
    snprintf(s->node.cluster_id, sizeof(s->node.cluster_id), "%s", s->boot.metadata.meta.cluster_id);
    settings.metadata_dir_id = s->boot.metadata.meta.directory_id;
    settings.metadata_version = s->boot.metadata_version;
    settings.formatted = &s->boot.formatted;
    net_first_start(s);
    s->net_first = s->node.net[0];
    s->node.control = control_start(&s->node, &settings, &ops);
    s->early.run = early_run;
    loop_post(s->node.net[0]->loop, &s->early);
}

static void stop_asked(struct msg *msg)
{
    server_leave(container_of(msg, struct server, stop));
}

static void signal_came(struct msg *msg)
{
    server_leave(container_of(msg, struct server, signal));
}

void server_stop(struct node *node)
{
    loop_post(server_of(node)->control_loop, &server_of(node)->stop);
}

struct node *server_start(struct io *io, const struct server_options *options)
{
    struct server *s = heap_alloc(io_heap(io), sizeof(*s));
    struct node *n = &s->node;

    n->io = io;
    n->heap = io_heap(io);
    n->config = options->config;
    n->id = (int32_t)config_int(n->config, C_node_id);
    s->serves = config_serves(n->config);
    n->anonymous = (struct principal){.type = SLICE("User"), .name = SLICE("ANONYMOUS")};
    s->options = *options;
    arena_init(&s->arena, n->heap, SIZE_MAX);
    s->control_loop = loop_start(io, LOOP_DISK, "control");
    n->dirs = dirs_new(n, s->control_loop, &(struct dirs_ops){.failed = on_failed, .arg = s});
    server_member(s);
    n->followers = followers_new(n, s->control_loop);
    s->begin.run = server_begin;
    s->stop.run = stop_asked;
    s->signal.run = signal_came;
    io_on_stop(io, s->control_loop, &s->signal);
    loop_post(s->control_loop, &s->begin);
    return n;
}
