/* The log directories of a node at its start and at its end: locks, identities, how the last process left them, what lies in
 * them, and the checkpoints that all DISK loops share.
 * Loop:   the control loop, while the node starts and stops; between that, checkpoint rounds (rounds.h) write.
 * Memory: from the node's heap, until boot_drop(). */
#pragma once
#include "broker/node.h"
#include "log/checkpoint.h"
#include "log/dir.h"
#include "quorum/formatted.h"

struct boot_dir {
    const char *path;
    struct log_meta meta;
    struct log_dir_past past;
    struct file *lock;
    bool offline; /* it could not be read: the node goes on without it */
};

struct boot {
    struct io *io;
    struct heap *heap;
    struct boot_dir *dirs; /* as log.dirs */
    int n;
    struct boot_dir metadata;   /* where the metadata log lies; its lock is NULL if that is one of dirs */
    int16_t metadata_version;   /* with which a new cluster begins (bootstrap.h) */
    struct formatted formatted; /* who begins the quorum, where no setting says it */
    bool scanning;              /* boot_find() met partitions that a power cut left */
    char why[512];              /* why boot_open() failed, for a person */
};

/* Locks every directory, reads who they are and how they were left. Nothing is written.
 * An error: `why` says it, what was locked is free again. */
enum err boot_open(struct boot *b, struct io *io, const struct config *config);
/* Room for metadata on full disks (log/reserve.h), kept or given up. E_FULL is for the others to meet. */
void boot_reserve(struct boot *b);
/* The clean marker goes, this boot's id is written: from now on a crash is a crash of the process. Not yet so for
 * directories that a power cut left: until each of their partitions has been scanned, the next start must scan again. */
enum err boot_running(struct boot *b);
/* `registered`, the epoch in which this broker was registered last, if all that it told anybody then is still there:
 * each directory was closed in order by it, or the kernel lives on. Else -1. */
int64_t boot_kept_epoch(const struct boot *b, int64_t registered);
bool boot_must_recover(const struct boot *b); /* there are such */
enum err boot_recovered(struct boot *b);      /* and now they are scanned */
/* Tells every partition on disk to the loop that owns it; what the image doesn't know is renamed to -stray. */
void boot_find(struct boot *b, struct node *node, const struct image *image);
/* One checkpoint file for a directory and kind, gathered from all loops. */
enum err boot_checkpoint(struct boot *b, struct node *node, int dir);
/* After every log was closed: the marker of a clean stop in each directory that is whole. ok: whether each of n_loops
 * loops closed all that it had there, a row of directories a loop. */
void boot_clean(struct boot *b, const bool *ok, int n_loops, int64_t broker_epoch);
void boot_drop(struct boot *b);
