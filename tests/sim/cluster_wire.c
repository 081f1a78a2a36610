#include "cluster_wire.h"
#include "proto/bigend.h"
#include "proto/wire.h"
#include "proto_gen.h"
#include "scenario.h"
#include "whole.h"
#include <stdio.h>

enum { HEAD = 8, AWAITED_MAX = 64, SLACK_MS = 2 };
static const int64_t MS = 1000000;

/* A frame that comes in pieces: its head tells whether the rest is kept. */
struct half {
    struct bytes frame; /* behind its length */
    uint8_t length[4];
    int n_length;
    int64_t left; /* of the frame */
    bool kept;
};

struct awaited { /* a heartbeat whose answer hasn't come */
    int32_t correlation;
    int broker;
    int64_t epoch, sent;
};

struct line {
    bool begun;
    struct half asks, answers;
    struct awaited v[AWAITED_MAX];
    int n;
};

struct heard {
    int64_t epoch, sent; /* of the last heartbeat that was answered; 0: none */
    uint64_t life;       /* of who answered */
};

struct host {
    uint64_t life;
    bool ending;
    struct uuid incarnation; /* that it registered with last */
    uint64_t registered_in;  /* which life */
    struct heard heard[TRUTH_NODES];
};

struct forwarded {
    struct uuid id;
    int from; /* 0: free */
};

struct cwire {
    struct sim *sim;
    struct heap *heap;
    int clients;
    int64_t session_ms;
    const struct truth *truth;
    struct line **lines; /* by connection */
    size_t lines_room;
    struct forwarded *ids; /* a hash table, at most half full */
    size_t ids_room, n_ids;
    struct host hosts[TRUTH_NODES];
    struct cwire_seen seen;
};

struct cwire *cwire_new(struct sim *s, int clients, int64_t session_ms, const struct truth *truth)
{
    struct heap *heap = heap_new(true);
    struct cwire *w = heap_alloc(heap, sizeof(*w));

    *w = (struct cwire){.sim = s, .heap = heap, .clients = clients, .session_ms = session_ms, .truth = truth};
    return w;
}

void cwire_drop(struct cwire *w)
{
    heap_drop(w->heap);
}

const struct cwire_seen *cwire_seen(const struct cwire *w)
{
    return &w->seen;
}

void cwire_life(struct cwire *w, int node)
{
    w->hosts[node].life++;
    w->hosts[node].ending = false;
}

void cwire_ending(struct cwire *w, int node)
{
    w->hosts[node].ending = true;
}

/* ---- what is forwarded ---- */

static struct forwarded *id_place(const struct cwire *w, const struct uuid *id)
{
    size_t at;

    for (at = get_be32(id->b) % w->ids_room; w->ids[at].from; at = (at + 1) % w->ids_room)
        if (uuid_eq(w->ids[at].id, *id))
            break;
    return &w->ids[at];
}

static void ids_grow(struct cwire *w)
{
    struct forwarded *old = w->ids;
    size_t room = w->ids_room;

    w->ids_room = room ? 2 * room : 1024;
    w->ids = heap_alloc(w->heap, w->ids_room * sizeof(*w->ids));
    memset(w->ids, 0, w->ids_room * sizeof(*w->ids));
    for (size_t i = 0; i < room; i++)
        if (old[i].from)
            *id_place(w, &old[i].id) = old[i];
    heap_free(w->heap, old);
}

static void id_judge(struct cwire *w, int from, const struct uuid *id)
{
    static const struct uuid none;
    struct forwarded *f;

    JUDGE(!uuid_eq(*id, none), "node %d forwards a request without an id", from);
    if (2 * w->n_ids >= w->ids_room)
        ids_grow(w);
    f = id_place(w, id);
    JUDGE(f->from == 0 || f->from == from, "node %d forwards a request with an id of node %d's", from,
          f->from);
    w->seen.resent += f->from != 0;
    w->n_ids += f->from == 0;
    *f = (struct forwarded){.id = *id, .from = from};
}

static void forwards(struct cwire *w, int from, const struct EnvelopeRequest *e, struct arena *a)
{
    struct addr client = sim_addr(w->clients, 0);
    struct DefaultPrincipalData who;
    struct slice bytes = e->request_principal;

    JUDGE(bytes.len > 2 && proto_decode(&DefaultPrincipalData_type, get_be16(bytes.p),
                                        slice_of(bytes.p + 2, bytes.len - 2), a, &who) == E_OK,
          "node %d forwards a request of nobody", from);
    JUDGE(slice_eq(who.type, SLICE("User")) && slice_eq(who.name, SLICE("ANONYMOUS")),
          "node %d forwards a request of %.*s:%.*s", from, (int)who.type.len, (const char *)who.type.p,
          (int)who.name.len, (const char *)who.name.p);
    JUDGE(e->client_host_address.len == 4 &&
              memcmp(e->client_host_address.p, client.ip + sizeof(client.ip) - 4, 3) == 0 &&
              (e->client_host_address.p[3] == w->clients || e->client_host_address.p[3] == w->clients + 1),
          "node %d forwards a request from another address than its client's", from);
    id_judge(w, from, &e->request_id);
    w->seen.forwarded++;
}

/* ---- frames ---- */

/* By a broker, to a controller. */
static void asked(struct cwire *w, struct line *l, int from, struct slice frame)
{
    union {
        struct BrokerHeartbeatRequest beat;
        struct BrokerRegistrationRequest join;
        struct EnvelopeRequest envelope;
    } in;
    struct proto_request r;
    struct arena a;

    JUDGE(proto_request_header(frame, &r) == E_OK, "node %d sends what isn't a request", from);
    arena_init(&a, w->heap, SIZE_MAX);
    JUDGE(proto_request_body(&r, &a, &in) == E_OK, "node %d sends a request of %d that doesn't read", from,
          r.key);
    if (r.key == API_Envelope) {
        forwards(w, from, &in.envelope, &a);
    } else if (r.key == API_BrokerRegistration) {
        w->hosts[from].incarnation = in.join.incarnation_id;
        w->hosts[from].registered_in = w->hosts[from].life;
    } else if (in.beat.broker_id == from) {
        JUDGE(l->n < AWAITED_MAX, "node %d sends %d heartbeats at once", from, l->n);
        l->v[l->n++] = (struct awaited){r.correlation_id, from, in.beat.broker_epoch, sim_now(w->sim)};
    }
    arena_drop(&a);
}

static void answered(struct cwire *w, struct line *l, int from, struct slice frame)
{
    const struct proto_api *api = proto_api(API_BrokerHeartbeat);
    struct BrokerHeartbeatResponse out;
    int32_t correlation;
    struct arena a;
    int i = 0;

    JUDGE(proto_response_header(frame, &correlation) == E_OK, "node %d sends what isn't an answer", from);
    while (i < l->n && l->v[i].correlation != correlation)
        i++;
    if (i == l->n)
        return;
    arena_init(&a, w->heap, SIZE_MAX);
    JUDGE(proto_response_body(api, api->request->versions.last, frame, &a, &out) == E_OK,
          "node %d answers a heartbeat with what doesn't read", from);
    if (out.error_code == 0) {
        w->hosts[from].heard[l->v[i].broker] =
            (struct heard){l->v[i].epoch, l->v[i].sent, w->hosts[from].life};
        w->seen.heartbeats++;
    }
    l->v[i] = l->v[--l->n];
    arena_drop(&a);
}

/* Most of what controllers are sent is raft's, and long. */
static bool is_kept(const struct line *l, bool request, const uint8_t *head)
{
    int16_t key = (int16_t)get_be16(head);

    if (!request)
        return l->n > 0;
    return key == API_BrokerHeartbeat || key == API_BrokerRegistration || key == API_Envelope;
}

/* Takes what it can of one frame. */
static struct slice take(struct line *l, struct half *h, bool request, struct slice bytes)
{
    size_t n;

    for (; h->n_length < 4 && bytes.len > 0; bytes = slice_of(bytes.p + 1, bytes.len - 1)) {
        h->length[h->n_length++] = *bytes.p;
        if (h->n_length == 4) {
            h->left = get_be32(h->length);
            h->frame.len = 0;
            h->kept = true;
        }
    }
    if (h->n_length < 4)
        return bytes;
    n = bytes.len < (size_t)h->left ? bytes.len : (size_t)h->left;
    if (h->kept && h->frame.len < HEAD && n > HEAD - h->frame.len)
        n = HEAD - h->frame.len; /* first the head */
    if (h->kept)
        bytes_add(&h->frame, bytes.p, n);
    h->left -= (int64_t)n;
    if (h->frame.len == HEAD)
        h->kept = h->kept && is_kept(l, request, h->frame.p);
    return slice_of(bytes.p + n, bytes.len - n);
}

static struct line *line_of(struct cwire *w, uint64_t conn)
{
    size_t before = w->lines_room;

    if (conn >= before) {
        w->lines_room = conn < 512 ? 1024 : 2 * (size_t)conn;
        w->lines = heap_resize(w->heap, w->lines, w->lines_room * sizeof(w->lines[0]));
        memset(w->lines + before, 0, (w->lines_room - before) * sizeof(w->lines[0]));
    }
    if (!w->lines[conn]) {
        struct line *l = w->lines[conn] = heap_alloc(w->heap, sizeof(*l));

        *l = (struct line){.begun = true};
        bytes_init(&l->asks.frame, w->heap);
        bytes_init(&l->answers.frame, w->heap);
    }
    return w->lines[conn];
}

void cwire_tap(void *wire, uint64_t conn, int from, int to, uint16_t port, bool dialler, struct slice bytes)
{
    struct cwire *w = wire;
    struct line *l;
    struct half *h;

    if (port != WHOLE_CONTROL_PORT || from == w->clients || to == w->clients)
        return;
    l = line_of(w, conn);
    h = dialler ? &l->asks : &l->answers;
    while (bytes.len > 0) {
        bytes = take(l, h, dialler, bytes);
        if (h->n_length < 4 || h->left > 0)
            continue;
        if (h->kept && h->frame.len >= HEAD && dialler)
            asked(w, l, from, bytes_slice(&h->frame));
        else if (h->kept && l->n > 0)
            answered(w, l, from, bytes_slice(&h->frame));
        h->n_length = 0;
    }
}

/* ---- fences ---- */

static void fenced(struct cwire *w, int by, int broker, int64_t epoch, bool session)
{
    const struct heard *heard = &w->hosts[by].heard[broker];
    const struct host *h = &w->hosts[broker];
    int64_t silent_ms = (sim_now(w->sim) - heard->sent) / MS;

    if (session) {
        w->seen.fenced_by_session++;
        JUDGE(heard->life != w->hosts[by].life || heard->epoch != epoch ||
                  silent_ms + SLACK_MS >= w->session_ms,
              "node %d fences broker %d for its session, and answered it %lld ms ago", by, broker,
              (long long)silent_ms);
        return;
    }
    w->seen.fenced_by_evidence++;
    JUDGE(w->truth->brokers[broker].epoch != epoch || !sim_up(w->sim, broker) || h->ending ||
              h->registered_in != h->life || !uuid_eq(h->incarnation, w->truth->brokers[broker].incarnation),
          "node %d fences broker %d for its end, and its process lives", by, broker);
}

void cwire_line(struct cwire *w, int node, struct slice line)
{
    char text[300];
    const char *at;
    long long epoch;
    int broker;

    if (node >= TRUTH_NODES)
        return;
    snprintf(text, sizeof(text), "%.*s", (int)line.len, (const char *)line.p);
    at = strstr(text, "] ");
    if (!at)
        return;
    if (strncmp(at + 2, "stopping: ", 10) == 0)
        cwire_ending(w, node);
    if (sscanf(at + 2, "broker %d of epoch %lld is fenced", &broker, &epoch) == 2)
        fenced(w, node, broker, epoch, strstr(at, "its session has timed out") != NULL);
}
