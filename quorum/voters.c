#include "quorum/voters.h"
#include "base/check.h"
#include "base/codec.h"
#include "proto_gen.h"

enum { KRAFT_VERSION_MAX = 1, LEADER_CHANGE_VERSION = 1, ADDED_BIT = 1 << 30 };

/* ---- looking one up ---- */

int32_t voter_server_first(int32_t node)
{
    return node + 1;
}

int32_t voter_server_added(const struct uuid *directory_id)
{
    uint32_t hash = crc32c(0, directory_id->b, sizeof(directory_id->b));

    return (int32_t)(hash % ADDED_BIT) | ADDED_BIT;
}

int voters_of_server(const struct voters *voters, int32_t server_id)
{
    for (int i = 0; i < voters->n; i++)
        if (voters->v[i].server_id == server_id)
            return i;
    return -1;
}

int voters_of_node(const struct voters *voters, int32_t node)
{
    for (int i = 0; i < voters->n; i++)
        if (voters->v[i].node == node)
            return i;
    return -1;
}

int voters_of_directory(const struct voters *voters, int32_t node, const struct uuid *directory_id)
{
    int i = voters_of_node(voters, node);

    return i >= 0 && (uuid_is_zero(voters->v[i].directory_id) ||
                      uuid_eq(voters->v[i].directory_id, *directory_id))
               ? i
               : -1;
}

int voters_voting(const struct voters *voters)
{
    int n = 0;

    for (int i = 0; i < voters->n; i++)
        n += voters->v[i].role == VOTER_VOTES;
    return n;
}

bool voters_alone(const struct voters *voters, int32_t server_id)
{
    int at = voters_of_server(voters, server_id);

    return at >= 0 && voters->v[at].role == VOTER_VOTES && voters_voting(voters) == 1;
}

/* ---- writing ---- */

/* A control record's value is the message alone: its first field is the version. */
static struct control_record control(enum control_type type, const struct proto_type *t, int version,
                                     const void *msg, struct arena *a)
{
    struct control_record r = {.type = type};
    struct bytes value;
    enum err err;

    bytes_init(&value, a->heap);
    err = proto_encode(t, version, msg, &value, NULL);
    ASSERT(!err);
    r.value = arena_copy(a, bytes_slice(&value));
    bytes_drop(&value);
    return r;
}

int voters_records(const struct voters *voters)
{
    return voters->index > 0 ? VOTERS_RECORDS + 1 : VOTERS_RECORDS;
}

static struct control_record place(const struct voters *voters, struct arena *a)
{
    struct RaftPlace p;

    proto_defaults(&RaftPlace_type, &p);
    p.index = voters->index;
    p.configuration_index = voters->configuration_index;
    return control(CONTROL_RAFT_PLACE, &RaftPlace_type, 0, &p, a);
}

void voters_batch(const struct batch_place *at, const struct voters *voters, struct arena *a,
                  struct bytes *out)
{
    struct KRaftVersionRecord version;
    struct VotersRecord record;
    struct control_record v[VOTERS_RECORDS + 1];

    ASSERT(voters->n > 0 && voters->n <= VOTERS_MAX);
    proto_defaults(&KRaftVersionRecord_type, &version);
    version.kraft_version = voters->kraft_version;
    proto_defaults(&VotersRecord_type, &record);
    PROTO_ARRAY_NEW(a, VotersRecord_Voter, record.voters, voters->n);
    for (int i = 0; i < voters->n; i++) {
        const struct voter *from = &voters->v[i];

        record.voters.v[i].voter_id = from->server_id;
        record.voters.v[i].voter_directory_id = from->directory_id;
        record.voters.v[i].kraft_version_feature.max_supported_version = KRAFT_VERSION_MAX;
        record.voters.v[i].node_id = from->server_id == voter_server_first(from->node) ? -1 : from->node;
        record.voters.v[i].role = (int8_t)from->role;
    }
    v[0] = control(CONTROL_KRAFT_VERSION, &KRaftVersionRecord_type, 0, &version, a);
    record.awaited_node_id = voters->awaited - 1;
    v[1] = control(CONTROL_KRAFT_VOTERS, &VotersRecord_type, 0, &record, a);
    if (voters->index > 0)
        v[2] = place(voters, a);
    batches_control(at, v, voters_records(voters), a, out);
}

void barrier_batch(const struct batch_place *at, int32_t leader, const struct voters *voters, struct arena *a,
                   struct bytes *out)
{
    struct LeaderChangeMessage m;
    struct control_record v;

    proto_defaults(&LeaderChangeMessage_type, &m);
    m.version = LEADER_CHANGE_VERSION;
    m.leader_id = leader;
    PROTO_ARRAY_NEW(a, LeaderChangeMessage_Voter, m.voters, voters_voting(voters));
    for (int i = 0, k = 0; i < voters->n; i++) {
        if (voters->v[i].role != VOTER_VOTES)
            continue;
        m.voters.v[k].voter_id = voters->v[i].server_id;
        m.voters.v[k++].voter_directory_id = voters->v[i].directory_id;
    }
    m.granting_voters.v = m.voters.v;
    m.granting_voters.n = m.voters.n;
    v = control(CONTROL_LEADER_CHANGE, &LeaderChangeMessage_type, LEADER_CHANGE_VERSION, &m, a);
    batches_control(at, &v, 1, a, out);
}

/* ---- reading ---- */

bool voters_in(const struct batch_content *c)
{
    return c->is_control && c->n > 0 &&
           (c->control[0].type == CONTROL_KRAFT_VERSION || c->control[0].type == CONTROL_KRAFT_VOTERS);
}

bool barrier_in(const struct batch_content *c)
{
    return c->is_control && c->n > 0 && c->control[0].type == CONTROL_LEADER_CHANGE;
}

static enum err place_read(const struct batch_content *c, struct arena *a, struct voters *out)
{
    struct RaftPlace p;
    enum err err;

    out->index = out->configuration_index = 0;
    if (c->n == VOTERS_RECORDS)
        return E_OK;
    if (c->n != VOTERS_RECORDS + 1 || c->control[VOTERS_RECORDS].type != CONTROL_RAFT_PLACE)
        return E_MALFORMED;
    err = proto_decode(&RaftPlace_type, 0, c->control[VOTERS_RECORDS].value, a, &p);
    if (err)
        return err;
    if (p.version != 0)
        return E_UNSUPPORTED_VERSION;
    if (p.index < 1 || p.configuration_index < 1 || p.configuration_index > p.index)
        return E_MALFORMED;
    out->index = p.index;
    out->configuration_index = p.configuration_index;
    return E_OK;
}

static enum err version_read(const struct batch_content *c, struct arena *a, struct voters *out)
{
    struct KRaftVersionRecord r;
    enum err err = proto_decode(&KRaftVersionRecord_type, 0, c->control[0].value, a, &r);

    if (err)
        return err;
    if (r.version != 0 || r.kraft_version < 0 || r.kraft_version > KRAFT_VERSION_MAX)
        return E_UNSUPPORTED_VERSION;
    out->kraft_version = r.kraft_version;
    return E_OK;
}

static enum err voter_read(const struct VotersRecord_Voter *r, struct voters *out)
{
    int32_t node = r->node_id < 0 ? r->voter_id - 1 : r->node_id;

    if (r->voter_id < 1 || voters_of_server(out, r->voter_id) >= 0 || voters_of_node(out, node) >= 0)
        return E_MALFORMED;
    if (r->role < VOTER_VOTES || r->role > VOTER_SPARE)
        return E_UNSUPPORTED_VERSION;
    out->v[out->n++] = (struct voter){.server_id = r->voter_id,
                                      .node = node,
                                      .directory_id = r->voter_directory_id,
                                      .role = (enum voter_role)r->role};
    return E_OK;
}

enum err voters_read(const struct batch_content *c, struct arena *a, struct voters *out)
{
    struct VotersRecord r;
    enum err err;

    if (c->n < VOTERS_RECORDS || c->control[0].type != CONTROL_KRAFT_VERSION ||
        c->control[1].type != CONTROL_KRAFT_VOTERS)
        return E_MALFORMED;
    err = version_read(c, a, out);
    if (!err)
        err = proto_decode(&VotersRecord_type, 0, c->control[1].value, a, &r);
    if (err)
        return err;
    if (r.version != 0 || r.voters.n > VOTERS_MAX)
        return E_UNSUPPORTED_VERSION;
    if (r.awaited_node_id < -1 || r.awaited_node_id == INT32_MAX)
        return E_MALFORMED;
    out->n = 0;
    out->awaited = r.awaited_node_id + 1;
    for (int i = 0; i < r.voters.n && !err; i++)
        err = voter_read(&r.voters.v[i], out);
    if (err)
        return err;
    return voters_voting(out) > 0 ? place_read(c, a, out) : E_MALFORMED;
}
