#include "quorum/voters.h"
#include "base/check.h"
#include "proto_gen.h"

enum { KRAFT_VERSION = 1, LEADER_CHANGE_VERSION = 1 };

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
    version.kraft_version = KRAFT_VERSION;
    proto_defaults(&VotersRecord_type, &record);
    PROTO_ARRAY_NEW(a, VotersRecord_Voter, record.voters, voters->n);
    for (int i = 0; i < voters->n; i++) {
        record.voters.v[i].voter_id = voters->v[i].server_id;
        record.voters.v[i].voter_directory_id = voters->v[i].directory_id;
        record.voters.v[i].kraft_version_feature.max_supported_version = KRAFT_VERSION;
    }
    v[0] = control(CONTROL_KRAFT_VERSION, &KRaftVersionRecord_type, 0, &version, a);
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
    PROTO_ARRAY_NEW(a, LeaderChangeMessage_Voter, m.voters, voters->n);
    for (int i = 0; i < voters->n; i++) {
        m.voters.v[i].voter_id = voters->v[i].server_id;
        m.voters.v[i].voter_directory_id = voters->v[i].directory_id;
    }
    m.granting_voters.v = m.voters.v;
    m.granting_voters.n = m.voters.n;
    v = control(CONTROL_LEADER_CHANGE, &LeaderChangeMessage_type, LEADER_CHANGE_VERSION, &m, a);
    batches_control(at, &v, 1, a, out);
}

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

enum err voters_read(const struct batch_content *c, struct arena *a, struct voters *out)
{
    struct VotersRecord r;
    enum err err;

    if (c->n < VOTERS_RECORDS || c->control[0].type != CONTROL_KRAFT_VERSION ||
        c->control[1].type != CONTROL_KRAFT_VOTERS)
        return E_MALFORMED;
    err = proto_decode(&VotersRecord_type, 0, c->control[1].value, a, &r);
    if (err)
        return err;
    if (r.version != 0 || r.voters.n > VOTERS_MAX)
        return E_UNSUPPORTED_VERSION;
    if (r.voters.n < 1)
        return E_MALFORMED;
    out->n = r.voters.n;
    for (int i = 0; i < out->n; i++)
        out->v[i] = (struct voter){r.voters.v[i].voter_id, r.voters.v[i].voter_directory_id};
    return place_read(c, a, out);
}
