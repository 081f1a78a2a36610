/* A metadata log that lives on its reserve (log/reserve.h): the control loop hears when that begins and ends, and
 * meanwhile the disk is looked at again and again.
 * Loop:   disk_room_tell() and the end on the quorum's DISK loop; `told` runs on the control loop.
 * Order:  one message at a time; what changed while it was under way is told when it is back. */
#pragma once
#include "quorum/local_disk.h"

struct disk_room {
    struct local_disk *disk;
    struct loop *loop, *control;
    void (*told)(void *arg, bool tight); /* NULL: nobody cares */
    void *arg;
    void (*looked)(struct disk_room *room); /* on the DISK loop, after each look: the disk may have failed */
    struct timer look;
    struct msg msg;
    bool telling, tight, ended;
};
void disk_room_tell(struct disk_room *r);
void disk_room_end(struct disk_room *r); /* nobody waits for room any more */
