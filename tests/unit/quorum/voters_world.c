#include "tests/unit/quorum/voters_world.h"
#include "proto/batch.h"
#include <stdio.h>
#include <stdlib.h>

enum { STEP_NS = 5000000, PIECE_BYTES = 1 << 16 };
static const int64_t BOUND_NS = 30000000000;

static void make_run(struct loop *loop, void *arg)
{
    struct vnode *n = arg;

    CHECK_OK(dir_make(n->io, VOTERS_DIR));
    CHECK_OK(dir_make(n->io, VOTERS_EMPTY));
    CHECK_OK(dir_sync(n->io, "."));
}

static void world_make(struct vworld *w, int voters, uint64_t seed)
{
    struct quorum_settings s = {.dir = VOTERS_DIR,
                                .election_ms = 400,
                                .heartbeat_ms = 50,
                                .snapshot_bytes = 1 << 30,
                                .segment_bytes = 4096,
                                .segment_ms = 604800000,
                                .retention_bytes = -1,
                                .retention_ms = -1};

    *w = (struct vworld){.sim = sim_new(seed)};
    list_init(&w->queue);
    for (int i = 1; i <= voters; i++) {
        s.voters[s.n_voters] = i;
        s.voter_directories[s.n_voters++].b[3] = (uint8_t)i;
    }
    for (int i = 1; i <= VWORLD_NODES; i++) {
        struct vnode *n = &w->nodes[i];

        *n = (struct vnode){.world = w, .id = i, .settings = s};
        n->settings.node_id = i;
        n->settings.directory_id.b[3] = (uint8_t)i;
        n->settings.joins = i > voters;
        n->io = sim_node(w->sim, i);
        CHECK(sim_call(w->sim, n->io, LOOP_DISK, make_run, n));
        vworld_crash(w, i, SIM_PROCESS);
    }
}

void vworld_init(struct vworld *w, int voters, uint64_t seed)
{
    world_make(w, voters, seed);
    for (int i = 1; i <= voters; i++)
        vworld_start(w, i);
}

void vworld_init_fixed(struct vworld *w, int voters, uint64_t seed)
{
    world_make(w, voters, seed);
    for (int i = 1; i <= voters; i++) {
        w->nodes[i].settings.fixed = true;
        memset(w->nodes[i].settings.voter_directories, 0, sizeof(w->nodes[i].settings.voter_directories));
    }
}

void vworld_new_disk(struct vworld *w, int i)
{
    CHECK(!vnode_up(&w->nodes[i]) && strcmp(w->nodes[i].settings.dir, VOTERS_DIR) == 0);
    w->nodes[i].settings.dir = VOTERS_EMPTY;
    w->nodes[i].settings.directory_id.b[5] = 55;
}

void vworld_old_disk(struct vworld *w, int i)
{
    CHECK(!vnode_up(&w->nodes[i]));
    w->nodes[i].settings.dir = VOTERS_DIR;
    w->nodes[i].settings.directory_id.b[5] = 0;
}

/* ---- the broker's part ---- */

static int topics_of(const struct vnode *n)
{
    struct image_topics it = image_topics_from(n->committed, SLICE_NULL);
    int count = 0;

    while (image_topics_next(&it))
        count++;
    return count;
}

static void on_loaded(void *arg, struct image *image)
{
    struct vnode *n = arg;

    CHECK(!n->committed && image->sealed);
    n->committed = image;
}

static void on_leader(void *arg, int32_t leader, int32_t epoch, bool self, int64_t next_offset)
{
    struct vnode *n = arg;

    CHECK(n->committed && epoch >= n->epoch);
    CHECK(!self || !n->leads);
    n->leader = leader;
    n->epoch = epoch;
    n->leads = self;
    n->next = next_offset;
}

static void on_skipped(void *arg, int64_t next_offset)
{
    struct vnode *n = arg;

    CHECK(n->leads && next_offset > n->next);
    n->next = next_offset;
}

static void on_committed(void *arg, struct slice batch)
{
    struct vnode *n = arg;
    struct image *draft = image_draft(n->committed, &n->grave);
    struct batch_content c;
    struct arena a;
    size_t used;

    arena_init(&a, io_heap(n->io), SIZE_MAX);
    CHECK_OK(batches_read(batch, &a, &c, &used));
    CHECK_EQ(c.base_offset, n->committed->offset + 1);
    for (int i = 0; i < c.n && !c.is_control; i++)
        image_replay(draft, &n->grave, &c.records[i]);
    draft->offset = c.last_offset;
    draft->epoch = c.epoch;
    image_seal(draft);
    image_unref(n->committed, &n->grave);
    n->committed = draft;
    arena_drop(&a);
}

static void on_followed(void *arg, struct slice batch)
{
    vnode_told(arg, batch.len);
    on_committed(arg, batch);
}

static void on_installed(void *arg, struct image *image)
{
    struct vnode *n = arg;

    image_unref(n->committed, &n->grave);
    n->committed = image;
}

static struct image *on_hold(void *arg)
{
    struct vnode *n = arg;

    CHECK_EQ(n->held++, 0);
    return image_ref(n->committed);
}

static void on_released(void *arg, struct image *image)
{
    struct vnode *n = arg;

    n->held--;
    image_unref(image, &n->grave);
}

static void on_failed(void *arg, enum err err, const char *what)
{
    struct vnode *n = arg;

    CHECK(err && what && !n->failed);
    n->failed = err;
    n->leads = false;
}

static void on_voters(void *arg)
{
    ((struct vnode *)arg)->voters_told++;
}

static void on_role(void *arg, bool member)
{
    struct vnode *n = arg;

    CHECK(!n->changed_role);
    n->changed_role = n->restart = true;
    n->member = member;
    n->leads = false;
}

struct letter {
    struct list link;
    int from, to;
    size_t len;
    uint8_t bytes[];
};

static bool on_send(void *arg, int32_t node, struct slice bytes)
{
    struct vnode *n = arg;
    struct vworld *w = n->world;
    struct letter *l;

    CHECK(node >= 1 && node <= VWORLD_NODES && node != n->id);
    if (w->cut[n->id] || w->cut[node] || !vnode_up(&w->nodes[node]))
        return false;
    if (w->loses && w->loses(w, n->id, node, bytes))
        return true;
    l = malloc(sizeof(*l) + bytes.len);
    *l = (struct letter){.from = n->id, .to = node, .len = bytes.len};
    memcpy(l->bytes, bytes.p, bytes.len);
    list_add(&w->queue, &l->link);
    return true;
}

void vworld_say(struct vworld *w, int from, int to, struct slice bytes)
{
    CHECK(vnode_up(&w->nodes[from]) && on_send(&w->nodes[from], to, bytes));
}

void vworld_read(struct vworld *w, int i, const struct proto_type *type, struct slice bytes, void *out)
{
    struct arena a;

    arena_init(&a, io_heap(w->nodes[i].io), SIZE_MAX);
    CHECK_OK(proto_decode(type, bytes.p[1], slice_of(bytes.p + 2, bytes.len - 2), &a, out));
    arena_drop(&a);
}

static void on_fetch(void *arg, int64_t offset, int32_t epoch)
{
    struct vnode *n = arg;

    CHECK(!n->asked);
    n->asked = true;
    n->offset = offset;
    n->last_epoch = epoch;
}

static void on_ask(void *arg, int32_t node, struct quorum_checkpoint id, int64_t at)
{
    struct vnode *n = arg;

    n->wanted = true;
    n->piece_of = node;
    n->piece = id;
    n->piece_at = at;
}

static void start_run(struct loop *loop, void *arg)
{
    struct vnode *n = arg;
    const struct quorum_ops ops = {.loaded = on_loaded,
                                   .leader = on_leader,
                                   .skipped = on_skipped,
                                   .committed = on_followed,
                                   .installed = on_installed,
                                   .hold = on_hold,
                                   .released = on_released,
                                   .failed = on_failed,
                                   .voters = on_voters,
                                   .role = on_role,
                                   .send = on_send,
                                   .fetch = on_fetch,
                                   .ask = on_ask,
                                   .arg = n};

    grave_init(&n->grave, io_heap(n->io));
    n->control = loop;
    n->quorum = quorum_start(n->io, loop, &n->grave, &n->settings, &ops);
}

void vworld_start(struct vworld *w, int i)
{
    struct vnode *n = &w->nodes[i];
    struct vnode fresh = {.world = w, .id = i, .settings = n->settings, .leader = -1, .told_leader = -1};

    if (vnode_up(n) && n->quorum)
        return;
    fresh.io = vnode_up(n) ? n->io : sim_node(w->sim, i);
    fresh.life = ++w->lives;
    memset(w->met[i], 0, sizeof(w->met[i]));
    *n = fresh;
    (void)!sim_call(w->sim, n->io, LOOP_DISK, start_run, n); /* a crash shows later */
}

/* ---- carrying ---- */

struct delivery {
    struct vnode *node;
    struct letter *letter;
};

static void deliver_run(struct loop *loop, void *arg)
{
    struct delivery *d = arg;

    if (d->node->quorum && !d->node->changed_role)
        (void)!quorum_deliver(d->node->quorum, d->letter->from, slice_of(d->letter->bytes, d->letter->len));
}

struct greeting {
    struct vnode *to;
    const struct vnode *from;
};

static void greet_run(struct loop *loop, void *arg)
{
    struct greeting *g = arg;

    if (!g->to->changed_role)
        quorum_hello(g->to->quorum, g->from->id, &g->from->settings.directory_id);
}

static bool connected(const struct vworld *w, const struct vnode *a, const struct vnode *b)
{
    return vnode_up(a) && vnode_up(b) && a->quorum && b->quorum && !w->cut[a->id] && !w->cut[b->id];
}

static void greetings_carry(struct vworld *w)
{
    for (int i = 1; i <= VWORLD_NODES; i++)
        for (int k = 1; k <= VWORLD_NODES; k++) {
            struct greeting g = {&w->nodes[i], &w->nodes[k]};

            if (i == k || !connected(w, g.to, g.from) || w->met[i][k] == g.from->life)
                continue;
            w->met[i][k] = g.from->life;
            (void)!sim_call(w->sim, g.to->io, LOOP_DISK, greet_run, &g);
        }
}

static void letters_carry(struct vworld *w)
{
    while (!list_empty(&w->queue)) {
        struct letter *l = list_first(&w->queue, struct letter, link);
        struct delivery d = {&w->nodes[l->to], l};

        list_remove(&l->link);
        if (vnode_up(d.node) && vnode_up(&w->nodes[l->from]) && !w->cut[l->to] && !w->cut[l->from])
            (void)!sim_call(w->sim, d.node->io, LOOP_DISK, deliver_run, &d);
        free(l);
    }
}

struct carried {
    struct quorum_read read;
    struct vnode *from, *to;
    uint8_t *bytes;
    size_t len;
    bool done;
};

static void read_done(struct quorum_read *r)
{
    container_of(r, struct carried, read)->done = true;
}

static void read_run(struct loop *loop, void *arg)
{
    struct carried *c = arg;

    c->read.back = loop;
    c->read.done = read_done;
    quorum_read(c->from->quorum, &c->read);
}

static bool was_read(void *arg)
{
    struct carried *c = arg;
    return c->done || !vnode_up(c->from);
}

static void bytes_run(struct loop *loop, void *arg)
{
    struct carried *c = arg;

    c->bytes = malloc(c->read.range.len + 1);
    if (c->read.range.len > 0)
        (void)!file_read(c->read.range.file, c->read.range.at, c->bytes, c->read.range.len, &c->len);
    log_range_drop(&c->read.range);
}

static bool carried_read(struct vworld *w, struct carried *c)
{
    if (!sim_call(w->sim, c->from->io, LOOP_DISK, read_run, c) || !sim_run(w->sim, was_read, c, 2000000000) ||
        !vnode_up(c->from))
        return false;
    return sim_call(w->sim, c->from->io, LOOP_DISK, bytes_run, c);
}

static void fetched_run(struct loop *loop, void *arg)
{
    struct carried *c = arg;
    struct vnode *n = c->to;
    struct quorum_fetched f = {.offset = n->offset,
                               .node = c->from->id,
                               .diverges = c->read.diverges,
                               .leader = c->read.leader,
                               .epoch = c->read.epoch,
                               .committed = c->read.committed,
                               .snapshot = {-1, -1},
                               .batches = slice_of(c->bytes, c->len)};

    if (n->offset < c->read.log_start)
        f.snapshot = c->read.newest;
    else
        f.err = c->read.err;
    if (!n->asked || (c->len == 0 && f.snapshot.offset < 0 && !f.diverges && f.leader == n->told_leader &&
                      f.epoch == n->told_epoch))
        return;
    n->told_leader = f.leader;
    n->told_epoch = f.epoch;
    n->asked = false;
    quorum_fetched(n->quorum, &f);
}

static void piece_run(struct loop *loop, void *arg)
{
    struct carried *c = arg;

    c->to->wanted = false;
    quorum_piece(c->to->quorum, c->read.checkpoint, c->read.offset, c->read.size, slice_of(c->bytes, c->len),
                 c->read.err);
}

static void answer(struct vworld *w, struct vnode *from, struct vnode *n, bool piece)
{
    struct carried c = {.from = from, .to = n};

    if (!vnode_up(from) || !from->quorum || w->cut[from->id] || w->cut[n->id])
        return;
    c.read = (struct quorum_read){.offset = piece ? n->piece_at : n->offset,
                                  .last_epoch = n->last_epoch,
                                  .max_bytes = PIECE_BYTES,
                                  .is_checkpoint = piece,
                                  .checkpoint = n->piece};
    if (carried_read(w, &c) && vnode_up(n))
        (void)!sim_call(w->sim, n->io, LOOP_DISK, piece ? piece_run : fetched_run, &c);
    free(c.bytes);
}

static struct vnode *leading(struct vworld *w)
{
    struct vnode *best = NULL;

    for (int i = 1; i <= VWORLD_NODES; i++)
        if (vnode_up(&w->nodes[i]) && w->nodes[i].leads && !w->cut[i] &&
            (!best || w->nodes[i].epoch > best->epoch))
            best = &w->nodes[i];
    return best;
}

static void questions_carry(struct vworld *w)
{
    struct vnode *from = leading(w);

    for (int i = 1; i <= VWORLD_NODES; i++) {
        struct vnode *n = &w->nodes[i];

        if (vnode_up(n) && n->quorum && n->wanted)
            answer(w, &w->nodes[n->piece_of], n, true);
        else if (from && vnode_up(n) && n->quorum && n->asked)
            answer(w, from, n, false);
    }
}

static void roles_carry(struct vworld *w)
{
    for (int i = 1; i <= VWORLD_NODES; i++) {
        struct vnode *n = &w->nodes[i];

        if (!vnode_up(n) || !n->restart || w->refuses_restart)
            continue;
        vworld_stop(w, i);
        vworld_start(w, i);
    }
}

static bool letters(void *arg)
{
    return !list_empty(&((struct vworld *)arg)->queue);
}

static void carry_once(struct vworld *w)
{
    (void)!sim_run(w->sim, letters, w, STEP_NS);
    if (!w->mute)
        greetings_carry(w);
    letters_carry(w);
    questions_carry(w);
    roles_carry(w);
}

void vworld_carry(struct vworld *w, int64_t ns)
{
    int64_t end = sim_now(w->sim) + ns;

    while (sim_now(w->sim) < end)
        carry_once(w);
}

bool vworld_until(struct vworld *w, bool (*holds)(struct vworld *w, void *arg), void *arg)
{
    int64_t end = sim_now(w->sim) + BOUND_NS;

    while (!holds(w, arg)) {
        if (sim_now(w->sim) > end)
            return false;
        carry_once(w);
    }
    return true;
}

/* ---- the end ---- */

static void stopped_run(struct msg *msg)
{
    container_of(msg, struct vnode, stopped)->is_stopped = true;
}

static void stop_run(struct loop *loop, void *arg)
{
    struct vnode *n = arg;

    n->stopped.run = stopped_run;
    quorum_stop(n->quorum, &n->stopped);
}

static bool is_stopped(void *arg)
{
    struct vnode *n = arg;
    return n->is_stopped || !vnode_up(n);
}

static void free_run(struct loop *loop, void *arg)
{
    struct vnode *n = arg;

    if (n->committed)
        image_unref(n->committed, &n->grave);
    grave_empty(&n->grave);
    CHECK(n->in_flight == 0 && n->held == 0);
    CHECK_EQ(sim_files_open(n->world->sim, n->id), 0);
    loop_stop(loop, NULL, NULL);
}

void vworld_crash(struct vworld *w, int i, enum sim_crash how)
{
    struct vnode *n = &w->nodes[i];

    if (n->io && sim_up(w->sim, i))
        sim_crash(w->sim, i, how);
    n->io = NULL;
    n->quorum = NULL;
    n->leads = false;
}

void vworld_stop(struct vworld *w, int i)
{
    struct vnode *n = &w->nodes[i];

    if (vnode_up(n))
        (void)!sim_call(w->sim, n->io, LOOP_DISK, stop_run, n);
    CHECK(sim_run(w->sim, is_stopped, n, 5000000000));
    if (vnode_up(n) && sim_call(w->sim, n->io, LOOP_DISK, free_run, n)) {
        (void)!sim_run(w->sim, NULL, NULL, 1000000);
        sim_exit(w->sim, i);
    }
    n->io = NULL;
    n->quorum = NULL;
    n->leads = false;
}

void vworld_restart_all(struct vworld *w)
{
    bool was[VWORLD_NODES + 1] = {false};

    for (int i = 1; i <= VWORLD_NODES; i++)
        if ((was[i] = vnode_up(&w->nodes[i])))
            vworld_stop(w, i);
    for (int i = 1; i <= VWORLD_NODES; i++)
        if (was[i])
            vworld_start(w, i);
}

void vworld_drop(struct vworld *w)
{
    for (int i = 1; i <= VWORLD_NODES; i++)
        if (vnode_up(&w->nodes[i]))
            vworld_stop(w, i);
    while (!list_empty(&w->queue)) {
        struct letter *l = list_first(&w->queue, struct letter, link);

        list_remove(&l->link);
        free(l);
    }
    sim_drop(w->sim);
}

/* ---- topics ---- */

static void done(struct quorum_entry *e, enum err err)
{
    struct ventry *x = container_of(e, struct ventry, entry);
    struct vnode *n = x->node;

    n->in_flight--;
    x->busy = false;
    if (!err) {
        n->world->promised++;
        on_committed(n, bytes_slice(&x->bytes));
    }
    bytes_drop(&x->bytes);
}

static void fat_add(const struct vnode *n, struct bytes *out)
{
    struct meta_record r = {.type = RECORD_CONFIG};
    char *text = heap_alloc(io_heap(n->io), (size_t)n->world->fat);

    memset(text, 'f', (size_t)n->world->fat);
    r.config.resource_type = CONFIG_BROKER;
    r.config.resource = SLICE("1");
    r.config.name = SLICE("fat");
    r.config.value = slice_of(text, (size_t)n->world->fat);
    record_encode(&r, out);
    heap_free(io_heap(n->io), text);
}

static void submit_run(struct loop *loop, void *arg)
{
    struct vnode *n = arg;
    struct batch_place at = {.base_offset = n->next, .epoch = n->epoch, .now_ms = io_wall_ms(n->io)};
    struct meta_record r = {.type = RECORD_TOPIC};
    struct ventry *x = n->flight;
    struct bytes value;
    struct arena a;
    char name[20];
    size_t ends[2];
    int count = n->world->fat > 0 ? 2 : 1;

    if (!n->leads)
        return;
    while (x->busy)
        x++;
    CHECK(x < n->flight + VWORLD_FLIGHT);
    (void)snprintf(name, sizeof(name), "topic-%06d", n->world->attempted);
    r.topic.name = SLICE(name);
    memcpy(r.topic.id.b, &n->world->attempted, sizeof(int));
    r.topic.id.b[15] = 1;
    n->world->attempted++;
    bytes_init(&value, io_heap(n->io));
    bytes_init(&x->bytes, io_heap(n->io));
    arena_init(&a, io_heap(n->io), SIZE_MAX);
    record_encode(&r, &value);
    ends[0] = value.len;
    if (count > 1)
        fat_add(n, &value);
    ends[1] = value.len;
    batches_data(&at, bytes_slice(&value), ends, count, &a, &x->bytes);
    arena_drop(&a);
    bytes_drop(&value);
    x->node = n;
    x->busy = true;
    x->entry = (struct quorum_entry){.bytes = bytes_slice(&x->bytes),
                                     .base_offset = n->next,
                                     .last_offset = n->next + count - 1,
                                     .done = done};
    n->next += count;
    n->in_flight++;
    quorum_submit(n->quorum, &x->entry);
}

void vworld_submit(struct vworld *w, struct vnode *n, int topics)
{
    for (int i = 0; i < topics; i++)
        (void)!sim_call(w->sim, n->io, LOOP_DISK, submit_run, n);
}

static bool has_leader(struct vworld *w, void *arg)
{
    struct vnode *n = leading(w);
    int same = 0, voters = 0;

    if (!n)
        return false;
    for (int i = 0; i < quorum_view(n->quorum).n_voters; i++) {
        struct vnode *v = &w->nodes[quorum_view(n->quorum).voters[i]];

        voters += quorum_view(n->quorum).progress[i].votes;
        same += vnode_up(v) && v->leader == n->id && v->epoch == n->epoch;
    }
    return same > voters / 2;
}

struct vnode *vworld_leader(struct vworld *w)
{
    CHECK(vworld_until(w, has_leader, NULL));
    return leading(w);
}

static bool settled(struct vworld *w, void *arg)
{
    for (int i = 1; i <= VWORLD_NODES; i++)
        if (vnode_up(&w->nodes[i]) && w->nodes[i].in_flight > 0)
            return false;
    return true;
}

void vworld_write(struct vworld *w, int topics)
{
    int goal = w->promised + topics;

    while (w->promised < goal) {
        int n = goal - w->promised < VWORLD_FLIGHT ? goal - w->promised : VWORLD_FLIGHT;

        vworld_submit(w, vworld_leader(w), n);
        CHECK(vworld_until(w, settled, NULL));
    }
}

/* ---- what must hold ---- */

static bool agree(struct vworld *w, void *arg)
{
    struct vnode *n = leading(w);
    struct quorum_view of;

    if (!n)
        return false;
    of = quorum_view(n->quorum);
    for (int i = 1; i <= VWORLD_NODES; i++) {
        struct vnode *other = &w->nodes[i];
        struct quorum_view v;
        bool votes = false;

        if (!vnode_up(other) || !other->quorum || w->cut[i])
            continue;
        v = quorum_view(other->quorum);
        for (int k = 0; k < of.n_voters; k++)
            votes |= of.voters[k] == i && of.progress[k].votes;
        if (other->changed_role || v.observes == votes || v.committed != of.committed ||
            v.n_voters != of.n_voters || other->leader != n->id || !other->committed ||
            topics_of(other) < w->promised)
            return false;
        for (int k = 0; k < of.n_voters; k++)
            if (v.voters[k] != of.voters[k] || v.progress[k].votes != of.progress[k].votes)
                return false;
    }
    return true;
}

void vworld_agree(struct vworld *w)
{
    CHECK(vworld_until(w, agree, NULL));
}
