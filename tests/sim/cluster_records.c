/* Records on a cluster: clients of one broker, at partitions of which it has the only replica. What they were promised is on
 * its disk after each crash, and is read at the end of each act. */
#include "cluster_world.h"
#include "tally.h"

void cworld_records(struct world *w)
{
    struct clients *c;
    uint32_t among = w->brokers;

    if (sim_below(w->s, 3))
        return;
    for (int n = (int)sim_below(w->s, (uint64_t)__builtin_popcount(among)); n > 0; n--)
        among &= among - 1;
    w->keeper = __builtin_ctz(among);
    c = w->records = clients_new(w->s, RECORDS, w->keeper);
    clients_one_of_several(c);
    cclients_spare(w->clients, w->keeper);
    clients_topic(c, "durable", 1, "log.durable=true,segment.ms=1900");
    clients_topic(c, "plain", 1, "segment.ms=1500");
    clients_maker(c, clients_book(c, "durable", 0), -1, true);
    clients_maker(c, clients_book(c, "plain", 0), 1, false);
    clients_reader(c, "durable");
    clients_reader(c, "plain");
    clients_admin(c);
    clients_start(c);
}

void cworld_records_judge(struct world *w, int i, bool power)
{
    struct book *books;
    bool torn;

    for (int k = w->records && i == w->keeper ? clients_books(w->records, &books) : 0; k > 0; k--)
        (void)book_judge_disk(&books[k - 1], w->s, i, w->nodes[i]->n_dirs, power, &torn);
}

void cworld_records_clock(struct world *w, int i)
{
    if (w->records && i == w->keeper)
        clients_clock(w->records, sim_wall_ms(w->s, i) - sim_wall_ms(w->s, RECORDS));
}
