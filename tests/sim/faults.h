/* What befalls node i of the nodes 1 .. n, drawn from the seed: for scenarios with several. None of them ends by itself but a
 * stall; fault_over() and sim_heal() end them. */
#pragma once
#include "sim.h"

/* Nothing passes between it and some others; true: both ways. */
bool fault_cut(struct sim *s, int i, int n);
void fault_link_slow(struct sim *s, int i, int n); /* what it sends to some others */
void fault_resets(struct sim *s, int i, int n);
void fault_disk_slow(struct sim *s, int i);
void fault_disk_stall(struct sim *s, int i);
/* Somebody else's bytes: the reserve that the quorum keeps is in them, or not. */
void fault_disk_fill(struct sim *s, int i);
void fault_wall_jump(struct sim *s, int i); /* it is up */
/* Its disk is well, and it isn't paused. */
void fault_over(struct sim *s, int i);
