/* Does this node still lead? A round asks every voter; one serves all of a turn. */
#include "quorum/raft_internal.h"

void quorum_confirms_end(struct quorum *q, enum err err)
{
    struct list over;

    list_init(&over);
    list_take(&over, &q->confirms);
    list_each_safe (it, &over) {
        struct quorum_confirm *c = container_of(it, struct quorum_confirm, link);

        list_remove(it);
        c->done(c, err); /* last touch */
    }
}

static void confirms_look(struct quorum *q)
{
    list_each_safe (it, &q->confirms) {
        struct quorum_confirm *c = container_of(it, struct quorum_confirm, link);
        int yes = 1;

        for (int i = 0; i < q->voters.n; i++)
            yes += q->voters.v[i].server_id != q->server_id && q->voters.v[i].role == VOTER_VOTES &&
                   c->round > 0 && q->peers[i].confirmed >= c->round;
        if (c->round == 0 || yes <= voters_voting(&q->voters) / 2)
            continue;
        list_remove(it);
        c->done(c, E_OK); /* last touch */
    }
}

static void confirms_ask(struct quorum *q)
{
    timer_stop(&q->confirm_timer);
    if (list_empty(&q->confirms))
        return;
    for (int i = 0; i < q->voters.n; i++)
        if (q->voters.v[i].server_id != q->server_id && q->voters.v[i].role == VOTER_VOTES)
            raft_msg_confirm(q, i, q->round);
    timer_set(q->control, &q->confirm_timer, loop_now(q->control) + (int64_t)q->settings.heartbeat_ms * MS);
}

static void confirm_again(struct timer *timer)
{
    confirms_ask(container_of(timer, struct quorum, confirm_timer));
}

static void confirm_run(struct msg *msg)
{
    struct quorum *q = container_of(msg, struct quorum, confirm_msg);

    q->confirm_posted = false;
    if (!q->told_self) {
        quorum_confirms_end(q, E_NOT_CONTROLLER);
        quorum_drained(q);
        return;
    }
    q->round++;
    list_each (it, &q->confirms) {
        struct quorum_confirm *c = container_of(it, struct quorum_confirm, link);

        if (c->round == 0)
            c->round = q->round;
    }
    confirms_look(q);
    confirms_ask(q);
    quorum_drained(q);
}

void quorum_confirmed(struct quorum *q, int voter, int64_t round)
{
    if (round <= q->peers[voter].confirmed || round > q->round)
        return;
    q->peers[voter].confirmed = round;
    confirms_look(q);
}

void quorum_confirm(struct quorum *q, struct quorum_confirm *c)
{
    c->round = 0;
    list_add(&q->confirms, &c->link);
    if (q->confirm_posted)
        return;
    q->confirm_posted = true;
    loop_post(q->control, &q->confirm_msg);
}

void quorum_confirms_make(struct quorum *q)
{
    list_init(&q->confirms);
    q->confirm_timer.fire = confirm_again;
    q->confirm_msg.run = confirm_run;
}
