#pragma once
#include "client_node.h"
#include "scenario.h"

enum {
    MAKERS_MAX = 8,
    READERS_MAX = 6,
    TOPICS_MAX = 6,
    PARTS_MAX = 4,
    RECORDS_MAX = 12,
    AFTER_MAX_MS = 3600000 /* Kafka's default */,
    CHURN_MAX = 400
};

struct link { /* a wire that is dialled again after a while */
    struct clients *c;
    struct wire wire;
    struct timer again;
    struct timer tick;
    void (*ticked)(struct link *l);
    void (*fresh)(struct link *l); /* the connection is new */
};

struct maker;
struct batch {
    struct wire_ask ask;
    struct maker *maker;
    struct batch *next;
    uint32_t number; /* of its first record */
    int n;
    int32_t sequence;
    bool out;
    bool durable; /* its topic was, when it was sent */
    int era;
    int tries;
    int opens; /* which connection it was first sent on */
};

struct maker {
    struct link link;
    struct book *book;
    int16_t acks;
    bool idempotent;
    int64_t id; /* -1: none yet */
    int16_t epoch;
    int32_t sequence;
    int id_era;
    bool overtaken;             /* a batch of this id was stored while an older one wasn't */
    bool gives_up;              /* nobody can say any more what became of its batches */
    struct batch *first, *last; /* not answered yet, in order */
    int flight;
    struct wire_ask ask_id;
    bool asking_id;
    int goal;
};

struct reader {
    struct link link;
    char topic[16];
    int n;
    struct book *books[PARTS_MAX];
    int64_t position[PARTS_MAX];
    int64_t told[PARTS_MAX];                 /* the position that the session knows; -1: none */
    int64_t hw[PARTS_MAX], start[PARTS_MAX]; /* on this connection */
    bool lost_place[PARTS_MAX];
    int32_t session, session_epoch;
    struct wire_ask ask;
    bool durable[PARTS_MAX];
    int era[PARTS_MAX];
    int64_t promised[PARTS_MAX]; /* when the question was asked */
    int64_t time[PARTS_MAX];     /* that ListOffsets was asked for */
    bool from_start[PARTS_MAX];  /* the goal: all was read from the start on */
    bool done[PARTS_MAX];
    bool resting;
};

struct fixed {
    char name[16];
    int partitions;
    const char *settings;
    bool made;
    struct uuid id;
};

enum churn { CHURN_NONE, CHURN_MAYBE, CHURN_SURE, CHURN_LEAVING, CHURN_GONE };

struct admin {
    struct link link;
    struct wire_ask ask;
    bool busy;
    int at; /* the topic that the question is about */
    int64_t deleted_to;
    bool threads_asked;
    bool turns_durable;
    enum churn churn[CHURN_MAX];
    struct uuid ids[CHURN_MAX];
    int n_churn;
    int rounds, goal;
    bool on;
};

struct clients {
    struct sim *s;
    struct io *io;
    struct loop *loop;
    int node, server;
    struct maker *makers[MAKERS_MAX];
    int n_makers;
    struct reader *readers[READERS_MAX];
    int n_readers;
    struct admin *admin;
    struct fixed topics[TOPICS_MAX];
    int n_topics;
    struct book books[BOOKS_MAX];
    int n_books;
    struct clients_tally tally;
    int64_t clock_changed; /* ns: when the server's wall clock did last */
    int64_t ahead_ms;      /* of it since then */
    int64_t behind_until;  /* ns: when it last was so far behind that batches were refused */
    struct msg start;
    bool one_of_several;
    bool to_goal; /* nobody does more than the goal wants */
};

void link_init(struct link *l, struct clients *c);
void link_dial(struct link *l);
void link_tick(struct link *l, int64_t max_ns); /* some time within */
enum promise promise_of(const struct book *b, bool durable_then);
void maker_start(struct maker *m);
void reader_start(struct reader *r);
void admin_start(struct admin *a);
/* May a question about a partition be answered so, for now? */
bool passing(const struct clients *c, int16_t code);
bool topics_ready(const struct clients *c);
