/* Clients of one node, each on a connection of its own, who keep books (judge_book.h) of what they were told.
 *
 *     maker    produces to one partition: acks 0, 1 or all, idempotent or not, several batches in flight
 *     reader   fetches a topic's partitions with a session and long polls, goes back at times and reads again
 *     admin    creates and deletes topics, asks for metadata, changes settings, deletes records
 *
 * Loop:   one NET loop of the clients' machine, which never fails.
 * Retries: an idempotent maker repeats what it does not know the end of; another gives it up.
 * Always: what a client was told is held against the books at once; a lie ends the process. */
#pragma once
#include "client_wire.h"
#include "judge_book.h"

struct clients;

enum { MAKER_FLIGHT = 4, BOOKS_MAX = 12 };

struct clients_tally {
    uint64_t produced, answered, silent, retried, refused, new_ids, duplicates;
    uint64_t fetched, waited, records, sessions, out_of_range, dials;
    uint64_t topics_made, topics_gone, metadata, settings, threads, deleted, offsets, times;
    uint64_t too_early; /* batches refused because the clock of the server lay far behind */
};

struct clients *clients_new(struct sim *s, int node, int server);
struct book *clients_book(struct clients *c, const char *topic, int partition);
/* acks -1, 1, 0. */
void clients_maker(struct clients *c, struct book *b, int16_t acks, bool idempotent);
void clients_reader(struct clients *c, const char *topic);
void clients_admin(struct clients *c);
/* The topics that the books are about; settings "name=value" by commas. The admin makes it until it is there. */
void clients_topic(struct clients *c, const char *topic, int partitions, const char *settings);
/* The server is one broker of several: the topics are assigned to it, and the admin does nothing else than make them. The
 * broker may not have heard of them yet, or not lead them. */
void clients_one_of_several(struct clients *c);
void clients_start(struct clients *c);
/* The server's wall clock has just changed, by a jump or a new start, and lies `ahead_ms` before that of the clients. */
void clients_clock(struct clients *c, int64_t ahead_ms);
/* From now on the goal is: every maker has `n` batches more answered, every reader has read all from the start to the
 * last promise, the admin has done its round. */
void clients_goal(struct clients *c, int n);
void clients_rest(struct clients *c); /* no goal any more */
bool clients_reached(const struct clients *c);
void clients_say(const struct clients *c); /* who hasn't, on standard error */
int clients_books(struct clients *c, struct book **v);
const struct clients_tally *clients_tally(const struct clients *c);
void clients_drop(struct clients *c); /* ends the machine */
