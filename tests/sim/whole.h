/* A whole weir node in the simulator: formatted, started, stopped in order or crashed, started again on what its disk
 * holds.
 *
 *     struct whole *w = whole_new(s, 1, sets, n_sets);   formatted, not started
 *     whole_start(w); sim_run(s, whole_ready, w, …);
 *     whole_stop(w);  sim_run(s, whole_over, w, …);      exited in order: w->why says whether it was well
 *     whole_crash(w, SIM_POWER);
 *
 * Memory: the struct and its settings outlive the node's lives; all else is the node's own. */
#pragma once
#include "broker/server.h"
#include "tests/sim/sim.h"

enum whole_role { WHOLE_BOTH, WHOLE_BROKER, WHOLE_CONTROLLER };

struct whole {
    struct sim *s;
    int id;
    enum whole_role role;
    struct heap *heap; /* for the settings */
    struct config *config;
    int n_dirs;
    int disks;     /* how often it got new ones */
    struct io *io; /* of this life; NULL: down */
    struct node *node;
    bool ready;
    bool stopped; /* the server has said its last; the process ends next */
    int64_t stopped_at;
    enum err why;
    char text[600];
    int lives;
};

enum { WHOLE_PORT = 9092, WHOLE_CONTROL_PORT = 9093 };

/* sets: "name=value", over what one node with port 9092 and a directory /data/0 needs. A world may hold several, at
 * 10.0.0.<id>, each with directory ids of its own; who the voters are they are told by `sets`. */
struct whole *whole_new(struct sim *s, int id, int n_dirs, const char *const *sets, int n_sets);
struct whole *whole_new_as(struct sim *s, int id, enum whole_role role, int n_dirs, const char *const *sets,
                           int n_sets);
/* Its disk is replaced by an empty one, formatted, with directory ids of its own; it is down. What whole_dir() made has to be
 * made again. */
void whole_new_disk(struct whole *w);
/* Formats another directory, for metadata.log.dir. mark: its id is made from it, from 0x20 on. */
void whole_dir(struct whole *w, const char *dir, uint8_t mark);
void whole_start(struct whole *w);
void whole_stop(struct whole *w); /* SIGTERM */
void whole_crash(struct whole *w, enum sim_crash how);
bool whole_ready(void *whole);
bool whole_up(void *whole); /* ready, or it has given up */
bool whole_over(
    void *whole); /* the process has ended by itself; call it in turns: it ends the process then */
void whole_drop(struct whole *w); /* before sim_drop(); the node may be up */
