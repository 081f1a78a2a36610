/* raft's messages as they travel: one byte that names the row, one for its version, the row (proto/schema/Raft*.msg).
 * Entries travel as the batches that lie in the log. Whatever comes is checked here, before the library sees it. */
#include "proto/batch.h"
#include "proto_gen.h"
#include "quorum/raft_internal.h"

enum { KINDS = 13, KIND_STANDING = 9, KIND_EMPTY = 11, CONFIGURATION_MAX = 16 + VOTERS_MAX * 32 };

static const struct proto_type *const kinds[KINDS] = {
    [1] = &RaftVote_type,         [2] = &RaftVoteResult_type,     [3] = &RaftAppend_type,
    [4] = &RaftAppendResult_type, [5] = &RaftInstall_type,        [6] = &RaftTimeoutNow_type,
    [7] = &RaftConfirm_type,      [8] = &RaftConfirmed_type,      [KIND_STANDING] = &RaftStanding_type,
    [10] = &RaftRemoved_type,     [KIND_EMPTY] = &RaftEmpty_type, [12] = &RaftRests_type,
};

/* Every row begins with these: servers, which stand for disks, because a node may come back with another one. */
struct head {
    int64_t term;
    int32_t from, to;
};
_Static_assert(offsetof(struct RaftAppend, to) == offsetof(struct head, to) &&
                   offsetof(struct RaftRemoved, to) == offsetof(struct head, to),
               "rows begin as struct head does");

union message {
    struct RaftVote vote;
    struct RaftVoteResult vote_result;
    struct RaftAppend append;
    struct RaftAppendResult append_result;
    struct RaftInstall install;
    struct RaftTimeoutNow timeout_now;
    struct RaftConfirm confirm;
    struct RaftConfirmed confirmed;
    struct RaftStanding standing;
    struct RaftRemoved removed;
    struct RaftEmpty empty;
    struct RaftRests rests;
};

/* ---- out ---- */

static bool give_node(struct quorum *q, int32_t node, int32_t server, const struct proto_type *type,
                      const union message *from)
{
    union message m = *from;
    struct bytes out;
    uint8_t head[2] = {0, 0};
    struct head names;
    enum err err;
    bool taken;

    if (node < 0)
        return false;
    memcpy(&names, &m, sizeof(names));
    names.from = q->server_id;
    names.to = server;
    memcpy(&m, &names, sizeof(names));
    for (uint8_t i = 1; i < KINDS; i++)
        if (kinds[i] == type)
            head[0] = i;
    bytes_init(&out, q->heap);
    bytes_add(&out, head, sizeof(head));
    err = proto_encode(type, head[1], &m, &out, NULL);
    ASSERT(!err);
    taken = q->ops.send(q->ops.arg, node, bytes_slice(&out));
    bytes_drop(&out);
    return taken;
}

static bool give(struct quorum *q, raft_id server, const struct proto_type *type, const union message *m)
{
    return give_node(q, member_node(q, server), (int32_t)server, type, m);
}

static struct slice entry_batch(struct quorum *q, const struct raft_entry *e, raft_index index)
{
    const struct entry_row *row = entry_book_row(&q->book, index);

    ASSERT(row);
    return e->type == RAFT_COMMAND ? slice_of(e->buf.base, e->buf.len) : row->batch;
}

/* A voter of which it isn't known where its log fits, who then gets one entry at a time; -1: it isn't so. The library would send all
 * that it might lack with each heartbeat: on a narrow way answers came so late that none was about the newest question, and the
 * search never ended. */
static int searched(const struct quorum *q, const struct raft_message *m)
{
    int voter = voters_of_server(&q->voters, (int32_t)m->server_id);
    bool leads = raft_state((struct raft *)&q->raft) == RAFT_LEADER;

    return leads && voter >= 0 && q->raft.leader_state.progress[voter].state == PROGRESS_PROBE ? voter : -1;
}

/* A long one is alone on its way, for it is sent again with each heartbeat. */
static bool bulk_waits(struct quorum *q, int voter, size_t len)
{
    int64_t now = loop_now(q->control);

    if (len < BULK_BYTES)
        return false;
    if (now < q->peers[voter].bulk_until)
        return true;
    q->peers[voter].bulk_until = now + (int64_t)BULK_WAIT_MS * MS;
    return false;
}

static bool give_append(struct quorum *q, const struct raft_message *m)
{
    const struct raft_append_entries *a = &m->append_entries;
    const int voter = searched(q, m);
    const unsigned n = voter >= 0 && a->n_entries > 1 ? 1 : a->n_entries;
    union message out = {.append = {.term = (int64_t)a->term,
                                    .prev_index = (int64_t)a->prev_log_index,
                                    .prev_term = (int64_t)a->prev_log_term,
                                    .commit = (int64_t)a->leader_commit}};
    raft_index index = a->prev_log_index + 1;
    struct bytes records;
    bool taken;
    unsigned i;

    if (voter >= 0 && n > 0 &&
        bulk_waits(q, voter, entry_batch(q, a->entries, index).len)) { /* a heartbeat in its place */
        out.append.records = slice_of("", 0);
        return give(q, m->server_id, &RaftAppend_type, &out);
    }
    bytes_init(&records, q->heap);
    i = 0;
    do {
        records.len = 0;
        out.append.prev_index = (int64_t)(a->prev_log_index + i);
        out.append.prev_term = (int64_t)(i == 0 ? a->prev_log_term : a->entries[i - 1].term);
        for (; i < n; i++) {
            struct slice b = entry_batch(q, &a->entries[i], index + i);

            if (records.len > 0 && records.len + b.len > APPEND_BYTES_MAX)
                break;
            bytes_add(&records, b.p, b.len);
        }
        out.append.records = records.len ? bytes_slice(&records) : slice_of("", 0);
        taken = give(q, m->server_id, &RaftAppend_type, &out);
    } while (taken && i < n);
    bytes_drop(&records);
    return taken;
}

static bool give_install(struct quorum *q, const struct raft_message *m)
{
    const struct raft_install_snapshot *s = &m->install_snapshot;
    struct batch_place at = {.epoch = (int32_t)s->last_term};
    struct ckpt_id id;
    struct voters voters = q->newest_voters; /* it is the newest that was asked for */
    struct bytes batch;
    struct arena a;
    bool taken;

    ASSERT(s->data.len == sizeof(id));
    memcpy(&id, s->data.base, sizeof(id));
    ASSERT(id.offset == q->newest.offset && (int64_t)s->last_index == voters.index);
    voters.index = 0;
    bytes_init(&batch, q->heap);
    arena_init(&a, q->heap, SIZE_MAX);
    voters_batch(&at, &voters, &a, &batch);
    taken = give(q, m->server_id, &RaftInstall_type,
                 &(union message){.install = {.term = (int64_t)s->term,
                                              .last_index = (int64_t)s->last_index,
                                              .last_term = (int64_t)s->last_term,
                                              .configuration_index = (int64_t)s->conf_index,
                                              .voters = bytes_slice(&batch),
                                              .offset = id.offset,
                                              .epoch = id.epoch}});
    arena_drop(&a);
    bytes_drop(&batch);
    return taken;
}

bool raft_msg_send(struct quorum *q, const struct raft_message *m)
{
    raft_id to = m->server_id;

    switch (m->type) {
    case RAFT_IO_REQUEST_VOTE:
        return give(q, to, &RaftVote_type,
                    &(union message){.vote = {.term = (int64_t)m->request_vote.term,
                                              .last_index = (int64_t)m->request_vote.last_log_index,
                                              .last_term = (int64_t)m->request_vote.last_log_term,
                                              .disrupt_leader = m->request_vote.disrupt_leader,
                                              .pre_vote = m->request_vote.pre_vote}});
    case RAFT_IO_REQUEST_VOTE_RESULT:
        return give(q, to, &RaftVoteResult_type,
                    &(union message){
                        .vote_result = {.term = (int64_t)m->request_vote_result.term,
                                        .granted = m->request_vote_result.vote_granted,
                                        .pre_vote = m->request_vote_result.pre_vote == raft_tribool_true}});
    case RAFT_IO_APPEND_ENTRIES:
        return give_append(q, m);
    case RAFT_IO_APPEND_ENTRIES_RESULT:
        return give(
            q, to, &RaftAppendResult_type,
            &(union message){.append_result = {.term = (int64_t)m->append_entries_result.term,
                                               .rejected = (int64_t)m->append_entries_result.rejected,
                                               .last_index = (int64_t)m->append_entries_result.last_log_index,
                                               .tight = q->tight}});
    case RAFT_IO_INSTALL_SNAPSHOT:
        return give_install(q, m);
    case RAFT_IO_TIMEOUT_NOW:
        return give(q, to, &RaftTimeoutNow_type,
                    &(union message){.timeout_now = {.term = (int64_t)m->timeout_now.term,
                                                     .last_index = (int64_t)m->timeout_now.last_log_index,
                                                     .last_term = (int64_t)m->timeout_now.last_log_term}});
    }
    ASSERT(false);
    return false;
}

void raft_msg_confirm(struct quorum *q, int voter, int64_t round)
{
    (void)give(q, (raft_id)q->voters.v[voter].server_id, &RaftConfirm_type,
               &(union message){.confirm = {.term = (int64_t)q->raft.current_term, .round = round}});
}

void raft_msg_standing(struct quorum *q, const struct voter *to)
{
    (void)give_node(q, to->node, to->server_id, &RaftStanding_type,
                    &(union message){.standing = {.term = (int64_t)q->raft.current_term}});
}

void raft_msg_removed(struct quorum *q, const struct voter *to, int32_t epoch, raft_index index)
{
    (void)give_node(q, to->node, to->server_id, &RaftRemoved_type,
                    &(union message){.removed = {.term = epoch, .configuration_index = (int64_t)index}});
}

void raft_msg_rests(struct quorum *q, int voter, int32_t heir)
{
    (void)give(q, (raft_id)q->voters.v[voter].server_id, &RaftRests_type,
               &(union message){.rests = {.term = (int64_t)q->raft.current_term, .heir = heir}});
}

void raft_msg_empty(struct quorum *q, int32_t node, bool asks)
{
    (void)give_node(q, node, voter_server_first(node), &RaftEmpty_type,
                    &(union message){.empty = {.asks = asks}});
}

/* ---- in ---- */

/* Batches that may be entries: whole, in order, of terms that the sender may have. */
static bool batches_count(struct slice rest, int64_t term, unsigned *n, unsigned *n_control)
{
    struct batch_view v;
    int64_t end = -1;
    int32_t epoch = 0;
    enum err err;

    *n = *n_control = 0;
    while (!(err = batch_next(&rest, &v))) {
        if (!batch_crc_ok(&v) || (end >= 0 && v.base_offset != end) || v.base_offset < 0 ||
            v.leader_epoch < epoch || v.leader_epoch < 1 || v.leader_epoch > term)
            return false;
        end = v.last_offset + 1;
        epoch = v.leader_epoch;
        (*n)++;
        *n_control += (v.attributes & BATCH_CONTROL) != 0;
    }
    return err == E_EOF;
}

/* What the library keeps of a control batch: an empty barrier, or the configuration in its own encoding. */
bool raft_control_entry(struct quorum *q, struct slice batch, struct raft_entry *e)
{
    struct batch_content c;
    struct arena a;
    size_t used;
    bool ok;

    arena_init(&a, q->heap, SIZE_MAX);
    ok = !batches_read(batch, &a, &c, &used);
    if (ok && barrier_in(&c)) {
        e->type = RAFT_BARRIER;
        e->buf = (struct raft_buffer){raft_calloc(1, 8), 8};
    } else if (ok && voters_in(&c)) {
        struct raft_configuration conf;
        struct voters voters;

        e->type = RAFT_CHANGE;
        ok = !voters_read(&c, &a, &voters) && !raft_voters(&voters, &conf);
        if (ok) {
            ok = raft_configuration_encode(&conf, &e->buf) == 0;
            raft_configuration_close(&conf);
        }
    } else {
        ok = false;
    }
    arena_drop(&a);
    return ok;
}

/* All entries lie in one block that the library frees by the first one's `batch`. A configuration may be longer in the
 * library's encoding than its batch is. */
static bool entries_make(struct quorum *q, struct slice records, unsigned n, unsigned n_control,
                         struct raft_entry **out)
{
    struct raft_entry *v = raft_calloc(n, sizeof(*v));
    uint8_t *own = raft_malloc(records.len + (size_t)n_control * CONFIGURATION_MAX), *end = own;
    struct slice rest = records;
    struct batch_view b;
    bool ok = true;

    for (unsigned i = 0; ok && i < n && !batch_next(&rest, &b); i++) {
        struct raft_buffer made = {NULL, 0};

        v[i].term = (raft_term)b.leader_epoch;
        v[i].batch = own;
        v[i].buf = (struct raft_buffer){b.p, b.len};
        v[i].type = RAFT_COMMAND;
        if (b.attributes & BATCH_CONTROL) {
            ok = raft_control_entry(q, slice_of(b.p, b.len), &v[i]) && v[i].buf.len <= CONFIGURATION_MAX;
            made = v[i].buf;
        }
        if (ok)
            memcpy(end, v[i].buf.base, v[i].buf.len);
        raft_free(made.base);
        v[i].buf.base = end;
        end += v[i].buf.len;
    }
    if (!ok) {
        raft_free(own);
        raft_free(v);
        return false;
    }
    *out = v;
    return true;
}

static bool read_append(struct quorum *q, const struct RaftAppend *in, struct raft_message *m)
{
    struct raft_append_entries *a = &m->append_entries;
    const struct entry_row *prev = entry_book_row(&q->book, (raft_index)in->prev_index);
    struct batch_view first;
    unsigned n_control;

    m->type = RAFT_IO_APPEND_ENTRIES;
    *a = (struct raft_append_entries){.term = (raft_term)in->term,
                                      .prev_log_index = (raft_index)in->prev_index,
                                      .prev_log_term = (raft_term)in->prev_term,
                                      .leader_commit = (raft_index)in->commit};
    if (in->prev_index < 0 || in->prev_term < 0 || in->prev_term > in->term || in->commit < 0 ||
        !batches_count(in->records, in->term, &a->n_entries, &n_control))
        return false;
    if (a->n_entries == 0)
        return true;
    /* Entries that agree with ours lie at the same offsets. */
    if (batch_view(in->records, &first) || first.leader_epoch < in->prev_term ||
        (in->prev_index == 0 && first.base_offset != 0) ||
        ((raft_index)in->prev_index + 1 == q->book.first && q->book.first > 1 &&
         first.base_offset != q->book.base) ||
        (prev && prev->epoch == in->prev_term && first.base_offset != prev->last_offset + 1))
        return false;
    q->incoming = in->records;
    q->incoming_first = (raft_index)in->prev_index + 1;
    return entries_make(q, in->records, a->n_entries, n_control, &a->entries);
}

static bool read_install(struct quorum *q, const struct voter *from, const struct RaftInstall *in,
                         struct arena *a)
{
    struct batch_content c;
    struct voters voters;
    size_t used;

    if (in->last_index < 1 || in->last_term < 1 || in->last_term > in->term || in->configuration_index < 1 ||
        in->configuration_index > in->last_index || in->offset < 1 || in->epoch != in->last_term ||
        batches_read(in->voters, a, &c, &used) || !voters_in(&c) || voters_read(&c, a, &voters))
        return false;
    raft_install_begin(q, from, in, &voters);
    return true;
}

static bool read_result(struct quorum *q, int voter, const struct RaftAppendResult *in,
                        struct raft_message *m)
{
    m->type = RAFT_IO_APPEND_ENTRIES_RESULT;
    m->append_entries_result =
        (struct raft_append_entries_result){.term = (raft_term)in->term,
                                            .rejected = (raft_index)in->rejected,
                                            .last_log_index = (raft_index)in->last_index};
    if (in->rejected < 0 || in->last_index < 0)
        return false;
    if (voter < 0)
        return true;
    member_heard(q, voter);
    q->peers[voter].tight = in->tight;
    if (raft_state(&q->raft) == RAFT_LEADER && (raft_term)in->term == q->raft.current_term)
        progress_answer(q, voter, in->rejected == 0, (raft_index)in->last_index);
    return true;
}

/* What a server says of terms, votes, entries and who has left is taken from one that may say it. Answers to a question and
 * questions that change nothing harm nobody. */
static bool claims(uint8_t kind)
{
    return kind <= 6 || kind == 10;
}

/* Fills *m for the library; *ours: it was dealt with here. voter: in q->voters, or -1. false: it doesn't read. */
static bool read_message(struct quorum *q, int voter, uint8_t kind, const union message *in, struct arena *a,
                         struct raft_message *m, bool *ours)
{
    const struct voter *from = voter < 0 ? &q->guest : &q->voters.v[voter];

    switch (kind) {
    case 1:
        m->type = RAFT_IO_REQUEST_VOTE;
        m->request_vote = (struct raft_request_vote){.term = (raft_term)in->vote.term,
                                                     .candidate_id = m->server_id,
                                                     .last_log_index = (raft_index)in->vote.last_index,
                                                     .last_log_term = (raft_term)in->vote.last_term,
                                                     .disrupt_leader = in->vote.disrupt_leader,
                                                     .pre_vote = in->vote.pre_vote};
        return in->vote.last_index >= 0 && in->vote.last_term >= 0 && in->vote.last_term <= in->vote.term;
    case 2:
        m->type = RAFT_IO_REQUEST_VOTE_RESULT;
        m->request_vote_result =
            (struct raft_request_vote_result){.term = (raft_term)in->vote_result.term,
                                              .vote_granted = in->vote_result.granted,
                                              .pre_vote = TO_RAFT_TRIBOOL(in->vote_result.pre_vote)};
        return true;
    case 3:
        return read_append(q, &in->append, m);
    case 4:
        return read_result(q, voter, &in->append_result, m);
    case 5:
        *ours = true;
        return read_install(q, from, &in->install, a);
    case 6:
        m->type = RAFT_IO_TIMEOUT_NOW;
        m->timeout_now = (struct raft_timeout_now){.term = (raft_term)in->timeout_now.term,
                                                   .last_log_index = (raft_index)in->timeout_now.last_index,
                                                   .last_log_term = (raft_term)in->timeout_now.last_term};
        return true;
    case 7:
        *ours = true;
        if ((raft_term)in->confirm.term >= q->raft.current_term)
            (void)give(q, m->server_id, &RaftConfirmed_type,
                       &(union message){.confirmed = {.term = in->confirm.term, .round = in->confirm.round}});
        return true;
    case 8:
        *ours = true;
        if (voter >= 0 && (raft_term)in->confirmed.term == q->raft.current_term)
            quorum_confirmed(q, voter, in->confirmed.round);
        return true;
    case KIND_STANDING:
        *ours = true;
        if (voter < 0)
            member_standing(q);
        return true;
    case KIND_EMPTY:
        *ours = true;
        found_heard(q, from->node, in->empty.asks);
        return true;
    case 10:
        *ours = true;
        if (in->removed.configuration_index < 1)
            return false;
        member_removed(q, (raft_term)in->removed.term, (raft_index)in->removed.configuration_index);
        return true;
    case 12:
        *ours = true;
        if (voter >= 0)
            stand_heard(q, voter, (raft_term)in->rests.term, in->rests.heir);
        return true;
    }
    return false;
}

/* Who is outside hears two kinds. A question after the voters is for the node, whatever disk it had when it was one. */
static bool not_for(const struct quorum *q, uint8_t kind, int32_t server)
{
    if (kind == KIND_STANDING)
        return false;
    return server != q->server_id || (q->observes && !(q->founding && kind == KIND_EMPTY));
}

bool raft_msg_read(struct quorum *q, int32_t node, struct slice bytes, struct raft_message *m, bool *ours)
{
    uint8_t kind = bytes.len >= 2 ? bytes.p[0] : 0;
    union message in;
    struct head names;
    struct arena a;
    bool ok = kind > 0 && kind < KINDS;
    int voter = -1;

    *ours = false;
    arena_init(&a, q->heap, SIZE_MAX);
    ok = ok && !proto_decode(kinds[kind], bytes.p[1], slice_of(bytes.p + 2, bytes.len - 2), &a, &in);
    if (ok)
        memcpy(&names, &in, sizeof(names));
    ok = ok && names.term >= 0 && names.term < INT32_MAX &&
         (raft_term)names.term <= q->raft.current_term + TERM_JUMP_MAX;
    if (ok) {
        m->server_id = (raft_id)names.from;
        *ours = not_for(q, kind, names.to) || !member_speaks(q, node, names.from, &voter) ||
                (claims(kind) && !member_believed(q, names.from));
    }
    ok = ok && (*ours || read_message(q, voter, kind, &in, &a, m, ours));
    arena_drop(&a);
    if (!ok)
        TRACE(q->io, quorum_message_bad, node);
    return ok && !*ours;
}
