/* Append, high watermark, and the flush that a turn's appends share. */
#include "broker/replica/manager_internal.h"

enum { SYNC_MAX = 256 /* logs that one flush takes */ };

void partition_advance(struct partition *p)
{
    int64_t to = log_settings(p->log)->durable ? log_synced(p->log) : log_end(p->log);

    if (to <= p->hw)
        return;
    p->hw = to;
    ASSERT(partition_invariant(p));
}

enum err partition_append(struct partitions *ps, struct partition *p, struct log_append *a, bool *wait)
{
    int64_t before = log_size(p->log);
    enum err err = log_append(p->log, a);

    if (err)
        return err;
    *wait = a->flush_due || (a->duplicate && log_settings(p->log)->durable && a->last_offset >= p->hw);
    if (*wait) {
        if (list_empty(&p->unsynced))
            list_add(&ps->unsynced, &p->unsynced);
        return E_OK;
    }
    partition_advance(p);
    partition_tell(p, log_size(p->log) - before);
    upkeep_appended(ps, p);
    return E_OK;
}

/* A log that could not be synced is on a directory that is offline now, which is how a waiter's own look finds out. */
void unsynced_flush(struct partitions *ps)
{
    struct log *batch[SYNC_MAX];
    struct list turn;
    int n;

    do {
        n = 0;
        list_init(&turn);
        while (n < SYNC_MAX && !list_empty(&ps->unsynced)) {
            struct partition *p = list_first(&ps->unsynced, struct partition, unsynced);
            list_remove(&p->unsynced);
            list_add(&turn, &p->unsynced);
            batch[n++] = p->log;
        }
        if (n > 0 && log_sync(batch, n, LOG_SYNC_DATA) != E_OK)
            TRACE(ps->io, sync_failed, n);
        list_each_safe (it, &turn) {
            struct partition *p = container_of(it, struct partition, unsynced);
            list_remove(it);
            partition_advance(p);
            partition_tell(p, INT64_MAX);
            upkeep_appended(ps, p);
        }
    } while (n == SYNC_MAX);
}

/* Everything that this turn of the mailbox appended shares one flush; then all who waited for it are answered. */
void commit_now(struct partitions *ps)
{
    struct list turn;

    unsynced_flush(ps);
    list_init(&turn);
    list_take(&turn, &ps->commits);
    list_each_safe (it, &turn) {
        struct lane *lane = container_of(it, struct lane, commit);
        list_remove(it);
        lane->committed(lane); /* last touch */
    }
}

static void commit_run(struct msg *msg)
{
    struct partitions *ps = container_of(msg, struct partitions, commit);

    ps->commit_posted = false;
    commit_now(ps);
}

void partitions_commit(struct partitions *ps, struct lane *lane, void (*committed)(struct lane *))
{
    lane->committed = committed;
    list_add(&ps->commits, &lane->commit);
    if (ps->commit_posted)
        return;
    ps->commit_posted = true;
    ps->commit.run = commit_run;
    loop_post(ps->disk->loop, &ps->commit);
}
