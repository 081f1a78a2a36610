/* A node: everything that one weir process owns, and how its loops find each other.
 *
 *   control   DISK loop: controller, quorum, images, dynamic settings      (control.h)
 *   net[i]    NET loops: connections, dispatch, handlers                   (net/)
 *   disk[i]   DISK loops: partitions and their logs                        (replica/)
 *   reader    DISK loop: reads ahead what a NET loop is to send and memory may lack
 *
 * Loop:   a loop's struct is touched by its own loop alone, but for what is constant after the start. The
 *         constants (io, heap, loops, ids) are read by all.
 * Images: the control loop publishes each committed image to every loop (image_slot); a loop adopts it at the start of
 *         the message that tells so, calls its listeners with (old, new) and posts the old one back. `image` and
 *         `config` of a loop are what it has adopted: borrowed, unchanging, good until its next adoption, so a handler
 *         that waits for a message looks them up again afterwards.
 * Order:  start: control (recover metadata, first image) → disk loops (list directories) → net loops → listeners open →
 *         registered, unfenced → connections come in. Stop: the reverse; no reply that was due is lost. */
#pragma once
#include "base/io.h"
#include "base/map.h"
#include "broker/config.h"
#include "broker/link/leader_apis.h"
#include "broker/request.h"
#include "metadata/image.h"
#include <stdatomic.h>

struct control;
struct followers;
struct dirs;
struct partitions;
struct topic_rules_cache;
struct producer_ids;
struct fetch_sessions;
struct raft_link;
struct node;
struct disk_loop;

/* Which DISK loop owns which partition: arithmetic on its topic's name and its number over the first n_active loops, so that
 * whoever has the table knows without asking. By name, not by id, as directories are: a topic that is deleted and made again
 * stays on its loops, so the old directory is out of the way before the new one can be touched. There is one table at a
 * time; when num.io.threads changes there is a next one, and partitions move (replica/move.h says how two tables never
 * disagree about one). */
struct disk_table {
    uint32_t generation; /* one more for each */
    int n_active;
    int n; /* made so far: those behind the active ones own nothing and rest, until there are more again */
    struct disk_loop *v[];
};
uint32_t disk_key(struct slice topic, int32_t partition);
struct disk_loop *disk_of(const struct disk_table *t, uint32_t key);

/* The newest published image for one loop. The writer swaps it in; if the old value was not taken yet the writer
 * takes it back, so at most one adoption is on its way to a loop. */
struct published {
    const struct image *image;
    const struct config *config; /* this broker's settings under that image */
};

struct image_slot {
    struct node *node;
    struct loop *loop;
    enum loop_kind kind;
    _Atomic(struct published *) newest;
    struct msg adopt; /* to the loop; posted when the slot was empty */
    void (*adopted)(struct image_slot *s, const struct published *old, const struct published *now);
    struct published *now; /* the loop's own */
    int64_t shown;         /* the control loop's, of a NET loop: the offset that it shows; -1: none yet */
};

/* Work that goes on in later callbacks keeps what the loop has adopted by now, until it lets go. The loop's own. */
struct published *slot_hold(struct image_slot *s);
void slot_release(struct image_slot *s, struct published *p);

struct net_loop {
    struct node *node;
    struct loop *loop;
    int index;
    struct image_slot slot;
    const struct image *image;
    const struct config *config;
    const struct disk_table *disks; /* replaced by a message */
    struct api_ranges controller;   /* what the active one has, by message: link/leader_apis.h */
    struct net *net;                /* connections, budget share (net/net.h) */
    struct list lives;              /* connections by which brokers live: overseer.c */
    struct fetch_sessions *sessions;
    struct codec_cache *codecs;        /* for batch_check() */
    struct topic_rules_cache *rules;   /* api/topic_rules.h */
    struct producer_ids *producer_ids; /* api/init_producer_id.c: what is left of this loop's block */
    struct msg stopping;               /* server.c */
};

struct disk_loop {
    struct node *node;
    struct loop *loop;
    int index;
    struct image_slot slot;
    const struct image *image;
    const struct config *config;
    const struct disk_table *disks; /* replaced by a message */
    struct partitions *partitions;  /* replica/manager.h */
    struct msg stopping;            /* server.c */
};

struct node {
    struct io *io;
    struct heap *heap;
    int32_t id;
    char cluster_id[64];
    const struct config *config; /* as started: what is dynamic is read from a loop's own */
    struct control *control;
    _Atomic int16_t
        kraft_version; /* as the newest configuration of the voters says; the control loop's to set */
    struct leader_apis *leader_apis; /* link/leader_apis.h; constant */
    struct api_ranges controller;    /* the control loop's own: NET loops have copies */
    struct followers *followers;     /* link/followers.h; the control loop's */
    struct dirs *dirs;               /* dirs.h */
    struct raft_link *raft_link;     /* link/raft_link.h; NULL: this node is the only voter */
    struct net_loop **net;           /* the control loop's own: others keep what they need of it */
    int n_net;
    struct disk_table *disks; /* the control loop's own: others have theirs */
    struct loop *reader;      /* DISK: reads ahead for consumers that lag, owns nothing */
    struct principal anonymous;
    /* Who may do what; NULL until security comes: everything is allowed. Any NET loop. */
    bool (*authorizer)(const struct request *r, enum acl_operation op, enum acl_resource type,
                       struct slice name);
    struct net_shared *net_shared; /* listeners and limits that all NET loops share by atomics (net/net.h) */
};
