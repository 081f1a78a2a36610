/* A fixed voter comes with another disk than the leader has noted: emptied, or a new one. It is a new server (quorum.h), and the
 * leader replaces the old one by itself:
 *
 *     hello says another directory ─► CHANGE_REMOVE ─► `awaited` ─► CHANGE_ADD ─► CHANGE_PROMOTE ─► it votes
 *                                                          ▲             └─ not in time: CHANGE_BACK, a pause ─┐
 *                                                          └───────────────────────────────────────────────────┘
 *
 *  1. Each step is an entry of the log, and the next one begins when it has committed. What is under way can be told from the
 *     configuration alone: a node of the setting that isn't in it is `awaited`, one that doesn't vote yet is taken out
 *     again by the next leader (member_change.c: tidy), and awaited then.
 *  2. While there is one that is awaited, no other is taken out: so one at a time.
 *  3. A step begins only while a majority of all, the awaited one included, answers from the directories that were noted, and
 *     has done so since a new directory was heard of: a step that doesn't commit binds this leader to those that it names. A
 *     new directory isn't of it before it votes. */
#include "quorum/raft_internal.h"

enum { AGAIN_MS = 5000 };

static int setting_of(const struct quorum *q, int32_t node)
{
    for (int i = 0; i < q->settings.n_voters; i++)
        if (q->settings.voters[i] == node)
            return i;
    return -1;
}

void heal_hello(struct quorum *q, int32_t node, const struct uuid *directory_id)
{
    int at = setting_of(q, node);

    if (at < 0 || uuid_eq(q->said[at], *directory_id))
        return;
    q->said[at] = *directory_id;
    q->said_ns = loop_now(q->control);
}

struct uuid heal_said(const struct quorum *q, int32_t node)
{
    int at = setting_of(q, node);

    return at < 0 ? (struct uuid){0} : q->said[at];
}

int32_t heal_awaited(const struct quorum *q, const struct voters *next)
{
    int32_t awaited = q->voters.awaited;

    if (q->voters.kraft_version > 0)
        return 0;
    for (int i = 0; i < q->voters.n; i++)
        if (voters_of_node(next, q->voters.v[i].node) < 0)
            return q->voters.v[i].node + 1;
    ASSERT(awaited == 0 || voters_of_node(next, awaited - 1) >= 0); /* nobody else is added meanwhile */
    return 0;
}

static int all(const struct quorum *q)
{
    return q->voters.n + (q->voters.awaited > 0);
}

/* Since a new directory was heard of last: who fell together with the old one may not be missed yet. */
static bool answered(const struct quorum *q, int voter)
{
    if (q->voters.v[voter].server_id == q->server_id)
        return true;
    return !member_other_disk(q, voter) && !q->peers[voter].dead && member_answers(q, voter) &&
           q->peers[voter].heard > q->said_ns;
}

static bool majority_there(const struct quorum *q)
{
    int there = 0;

    for (int i = 0; i < q->voters.n; i++)
        there += q->voters.v[i].role == VOTER_VOTES && !uuid_is_zero(q->voters.v[i].directory_id) &&
                 answered(q, i);
    return there > all(q) / 2;
}

void heal_hopeless(struct quorum *q)
{
    int left = 0;

    for (int i = 0; i < q->voters.n; i++)
        left += q->voters.v[i].role == VOTER_VOTES && !member_other_disk(q, i);
    if (q->voters.kraft_version == 0 && left <= all(q) / 2)
        TRACE(q->io, quorum_heal_hopeless, all(q) - left, all(q));
}

/* ---- steps ---- */

static void pause(struct quorum *q)
{
    q->heal_ns = loop_now(q->control) + (int64_t)AGAIN_MS * MS;
}

static void begin(struct quorum *q, enum change_step step, int32_t server)
{
    q->change_server = server;
    q->healing = change_to(q, step);
    if (!q->healing)
        pause(q);
}

static void take_out(struct quorum *q, const struct voter *v, const struct uuid *directory_id)
{
    char was[UUID_TEXT_LEN + 1], is[UUID_TEXT_LEN + 1];

    uuid_text(v->directory_id, was);
    uuid_text(*directory_id, is);
    TRACE(q->io, quorum_heal_removes, v->node, is, was);
    begin(q, CHANGE_REMOVE, v->server_id);
}

static void bring_in(struct quorum *q, int32_t node, const struct uuid *directory_id)
{
    char is[UUID_TEXT_LEN + 1];

    uuid_text(*directory_id, is);
    TRACE(q->io, quorum_heal_adds, node, is);
    q->newcomer = (struct voter){
        .server_id = voter_server_added(directory_id), .node = node, .directory_id = *directory_id};
    begin(q, CHANGE_ADD, q->newcomer.server_id);
}

void heal_look(struct quorum *q)
{
    int32_t awaited = q->voters.awaited - 1;
    struct uuid said;

    if (q->voters.kraft_version > 0 || loop_now(q->control) < q->heal_ns)
        return;
    if (awaited >= 0) {
        said = heal_said(q, awaited);
        if (!uuid_is_zero(said) && majority_there(q))
            bring_in(q, awaited, &said);
        return;
    }
    for (int i = 0; i < q->voters.n; i++)
        if (member_other_disk(q, i) && majority_there(q)) {
            take_out(q, &q->voters.v[i], &q->peers[i].hello);
            return;
        }
}

void heal_stepped(struct quorum *q)
{
    if (q->change_step == CHANGE_PROMOTE && q->change_status == 0)
        TRACE(q->io, quorum_healed, q->newcomer.node, voters_voting(&q->voters));
    if (q->change_step != CHANGE_BACK)
        return;
    TRACE(q->io, quorum_heal_late, q->newcomer.node);
    pause(q);
}
