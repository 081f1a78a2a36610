#include "cluster_world.h"
#include "quorum_disk.h"
#include "scenario.h"
#include "tally.h"
#include <stdio.h>

enum { SETS = 12, WORDS = 128, APART_MAX = 8 };

/* ---- who there is ---- */

static void combined(struct world *w)
{
    tally_add(TALLY_cluster_shapes_combined, 1);
    w->n = w->voters;
    w->brokers = (2u << w->n) - 2;
}

static void apart(struct world *w)
{
    int most = sim_below(w->s, 4) ? 4 : APART_MAX;

    tally_add(TALLY_cluster_shapes_apart, 1);
    w->n = w->voters + 1 + (int)sim_below(w->s, (uint64_t)most);
    w->brokers = (2u << w->n) - (2u << w->voters);
}

/* At least one voter is a broker too, and one broker no voter. */
static void mixed(struct world *w)
{
    tally_add(TALLY_cluster_shapes_mixed, 1);
    w->n = w->voters + 1 + (int)sim_below(w->s, 3);
    w->brokers = (2u << w->n) - (2u << w->voters) + 2;
    for (int i = 2; i < w->voters; i++)
        w->brokers |= (uint32_t)sim_below(w->s, 2) << i;
}

static enum whole_role role_of(const struct world *w, int i)
{
    if (i > w->voters)
        return WHOLE_BROKER;
    return w->brokers >> i & 1 ? WHOLE_BOTH : WHOLE_CONTROLLER;
}

/* ---- what they are told ---- */

/* All nodes have the same settings but for who they are: whole.c. */
static int settings(struct world *w, char text[SETS][WORDS])
{
    struct sim *s = w->s;
    int n = 0;

    w->session_ms = 3000 + (int64_t)sim_below(s, 6000);
    snprintf(text[n++], WORDS, "metadata.log.dir=/" QUORUM_DIR);
    snprintf(text[n], WORDS, "controller.quorum.voters=");
    for (int i = 1; i <= w->voters; i++)
        snprintf(text[n] + strlen(text[n]), WORDS - strlen(text[n]), "%s%d@10.0.0.%d:%d", i > 1 ? "," : "", i,
                 i, WHOLE_CONTROL_PORT);
    n++;
    snprintf(text[n++], WORDS, "quorum.election.ms=%lld", 200 + (long long)sim_below(s, 800));
    snprintf(text[n++], WORDS, "broker.session.timeout.ms=%lld", (long long)w->session_ms);
    snprintf(text[n++], WORDS, "broker.heartbeat.interval.ms=%lld", (long long)w->session_ms / 5);
    snprintf(text[n++], WORDS, "metadata.log.max.record.bytes.between.snapshots=%lld",
             1000 + (long long)sim_below(s, 40000));
    snprintf(text[n++], WORDS, "metadata.log.max.snapshot.interval.ms=%lld",
             sim_below(s, 2) ? 500 + (long long)sim_below(s, 10000) : 0);
    snprintf(text[n++], WORDS, "metadata.log.segment.ms=%lld", 1000 + (long long)sim_below(s, 20000));
    snprintf(text[n++], WORDS, "metadata.max.retention.bytes=%lld",
             sim_below(s, 2) ? (long long)sim_below(s, 20000) : -1);
    return n;
}

void cworld_shape(struct world *w)
{
    static void (*const shapes[])(struct world * w) = {combined, apart, apart, mixed};
    char text[SETS][WORDS];
    const char *sets[SETS];
    int n;

    w->voters = sim_below(w->s, 4) ? 3 : 5;
    shapes[sim_below(w->s, sizeof(shapes) / sizeof(shapes[0]))](w);
    n = settings(w, text);
    for (int i = 0; i < n; i++)
        sets[i] = text[i];
    for (int i = 1; i <= w->n; i++) {
        w->nodes[i] = whole_new_as(w->s, i, role_of(w, i), 1, sets, n);
        whole_dir(w->nodes[i], "/" QUORUM_DIR, 0x80);
    }
}
