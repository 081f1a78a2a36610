/* The simulator: many nodes, their disks, their network and one virtual clock in one process, from one seed. It is
 * the second implementation of base/io.h and the strict one: what the contract forbids asserts here, what it leaves
 * open is drawn from the seed.
 * Thread: one. Everything below is called from outside of loops unless it says otherwise.
 * Order:  events run by (time, sequence). Same seed, same options, same calls: same trace, byte for byte.
 * Time:   passes only in sim_run() and sim_call(). A DISK loop's file call takes virtual time, in which other loops
 *         run; a callback is charged a cost, until whose end its loop runs no other.
 * Memory: the simulator's own is freed by sim_drop(); a node's comes from its heap, which ends with the node. */
#pragma once
#include "base/io.h"

struct sim;

struct sim_range {
    int64_t min, max; /* ns, drawn evenly, both included */
};

/* Probabilities are in millionths, each for one occasion. */
struct sim_options {
    uint64_t seed;
    bool print;              /* the trace as lines on standard output */
    struct sim_range cost;   /* of a callback */
    struct sim_range post;   /* from a message to the loop that slept */
    struct sim_range file;   /* a file call that only the page cache serves */
    struct sim_range disk;   /* a sync, a cold read */
    struct sim_range net;    /* one way, one segment */
    struct sim_range skew;   /* of a node's wall clock, drawn at its start */
    struct sim_range stall;  /* how long a stall lasts, of a disk or a connection */
    int64_t tcp_timeout;     /* a dial or unacknowledged bytes end with E_TIMEOUT after it */
    uint32_t disk_stall_ppm; /* a file call is stalled */
    uint32_t disk_error_ppm; /* a file call fails with E_IO */
    uint32_t cold_ppm;       /* a page that was only written has left the page cache when file_peek() looks */
    uint32_t net_reset_ppm;  /* a segment resets its connection */
    uint32_t net_stall_ppm;  /* a segment is lost and comes again after a stall */
    uint32_t buffer_min;     /* bytes of a socket's kernel buffer, drawn for each connection */
    uint32_t buffer_max;
};

/* Tiny latencies, no faults, every page that was written stays warm. */
struct sim_options sim_plain(uint64_t seed);
/* Latencies, faults and buffers drawn from the seed: what scenarios run under. */
struct sim_options sim_swarm(uint64_t seed);
void sim_options_print(const struct sim_options *o);

struct sim *sim_new(uint64_t seed); /* plain */
struct sim *sim_new_with(const struct sim_options *o);
void sim_drop(struct sim *s);
void sim_calm(
    struct sim *s); /* no more random faults: for the phase in which progress is promised. Anywhere. */
/* What is under way by now, bytes and file calls, comes as late as faults have made it, though they are over: all of it has
 * come at that time, now or later. What a partition holds isn't under way. */
int64_t sim_delayed_until(const struct sim *s);
/* Anywhere: nodes' callbacks and judges draw from it too. */
uint64_t sim_random(struct sim *s);
uint64_t sim_below(struct sim *s, uint64_t n); /* 0 .. n-1 */
bool sim_chance(struct sim *s, uint32_t ppm);
int64_t sim_now(const struct sim *s); /* ns since the start */
uint64_t sim_trace_hash(const struct sim *s);
void sim_note(struct sim *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3))); /* a line of the trace */

/* Nodes: 1 .. SIM_NODES_MAX - 1, at 10.0.0.<node>. Each has a disk of its own that outlives its crashes. */
enum { SIM_NODES_MAX = 250 };
enum sim_crash {
    SIM_PROCESS, /* what was written stays; peers see EOF or RESET */
    SIM_POWER,   /* unsynced writes and names are kept, lost or torn; a new boot id; peers see silence */
};
struct io *sim_node(struct sim *s, int node); /* starts it; it is down before: asserts */
struct sim *sim_of(struct io *io);
bool sim_up(const struct sim *s, int node);
/* Stops the node's callbacks and drops its heap. From another node's callbacks too. */
void sim_crash(struct sim *s, int node, enum sim_crash how);
/* What its last crash was: one inside of a file call is of the kind that was armed when the call began, whatever was armed
 * while it took its time. */
enum sim_crash sim_crashed(const struct sim *s, int node);
void sim_signal(struct sim *s, int node); /* SIGTERM: posts what io_on_stop() asked for */
/* SIGSTOP and SIGCONT: while it is paused no callback of the node runs or goes on behind a file call, but its kernel
 * accepts connections, takes in and sends on what buffers hold, and acknowledges. Not from its own callbacks. */
void sim_pause(struct sim *s, int node, bool on);
bool sim_paused(const struct sim *s, int node);
/* The wall clock of a node that is up moves, forward or back, until its end: a start draws its skew anew. */
void sim_wall_jump(struct sim *s, int node, int64_t ms);
int64_t sim_wall_ms(const struct sim *s, int node); /* what it reads now; the node is up */
/* The node ends by itself: all of its loops must have been stopped, no file be open, the heap be empty. */
void sim_exit(struct sim *s, int node);

/* Runs fn as one callback of a loop of that kind, and the world with it until fn has returned. All calls for one
 * start of a node and one kind share one loop, which goes on living in sim_run(): what fn opened there can be used
 * in the next call, its timers fire, its messages come. False: the node crashed inside; `fn` never returned. */
bool sim_call(struct sim *s, struct io *io, enum loop_kind kind, void (*fn)(struct loop *loop, void *arg),
              void *arg);
/* Runs events until the condition holds (looked at after each event, and at the bound) or `bound_ns` have passed; says whether
 * it holds. Without a condition: until the bound. */
bool sim_run(struct sim *s, bool (*until)(void *arg), void *arg, int64_t bound_ns);

/* Faults of disks. A file call is any that io.h lists for DISK loops, but for file_flush and addr_find. */
enum sim_fault { SIM_CRASH_PROCESS, SIM_CRASH_POWER, SIM_EIO, SIM_FULL };
void sim_fail_at(struct sim *s, int node, int64_t nth, enum sim_fault fault); /* 1: the next call; 0: never */
int64_t sim_file_calls(const struct sim *s, int node);                        /* so far */
void sim_disk_limit(struct sim *s, int node, int64_t bytes); /* in pages of 4 KiB; E_FULL beyond; -1: none */
void sim_disk_errors(struct sim *s, uint32_t ppm);           /* from now on, in place of the option */
/* Every call below that path fails with E_IO, until the next call with NULL; the text is lent. */
void sim_disk_break(struct sim *s, int node, const char *below);
int64_t sim_disk_used(const struct sim *s, int node);
/* Another one, empty, in its place; the node is down. */
void sim_disk_new(struct sim *s, int node);
void sim_disk_stall(struct sim *s, int node, int64_t until_ns); /* file calls begin then, cached ones too */
void sim_disk_speed(struct sim *s, int node,
                    const struct sim_range *disk); /* of its syncs and cold reads; NULL: as the options say */
int sim_files_open(const struct sim *s, int node);

/* Looks and changes from outside, past the node: for judges. Anywhere; they cost no time. */
enum err sim_file_read(struct sim *s, int node, const char *path, int64_t at, void *to, size_t len,
                       size_t *got);
int64_t sim_file_size(struct sim *s, int node, const char *path); /* -1: no such file */
/* All files and directories below path, depth first, in name order; `path` is whole. */
void sim_files(struct sim *s, int node, const char *path,
               void (*each)(void *arg, const char *path, bool is_dir, int64_t size), void *arg);
enum err sim_file_put(struct sim *s, int node, const char *path, const void *p,
                      size_t len); /* with its parents */
enum err sim_file_flip(struct sim *s, int node, const char *path, int64_t at, uint8_t bits); /* bit rot */

/* The network. Anywhere. */
struct addr sim_addr(int node, uint16_t port);
void sim_partition(struct sim *s, int from, int to, bool on); /* one way: nothing arrives until it is off */
/* One way from node to node, in place of what the options say. */
struct sim_link {
    struct sim_range net;
    uint32_t reset_ppm, stall_ppm;
    int64_t bytes_per_s; /* of one connection; 0: no bound */
};
enum { SIM_LINKS_MAX = 64 };
struct sim_link sim_link_plain(const struct sim *s); /* what the options say */
void sim_link(struct sim *s, int from, int to, const struct sim_link *link);
void sim_heal(struct sim *s);                /* all partitions off, every link plain */
void sim_reset(struct sim *s, int a, int b); /* every connection between them */
/* The bytes that `from` gave to its kernel, in order; dialler says which side of connection `conn` sent them. */
typedef void (*sim_tap)(void *arg, uint64_t conn, int from, int to, uint16_t port, bool dialler,
                        struct slice bytes);
void sim_tap_set(struct sim *s, sim_tap tap, void *arg);

/* Every line that a node says, as it says it: rows of the trace table. For judges. */
typedef void (*sim_ear)(void *arg, int node, struct slice line);
void sim_ear_set(struct sim *s, sim_ear ear, void *arg);
