/* Images and settings on their way from the control loop to the others (node.h, Images).
 * Loop:   the control loop, but for what slots run on their own loops.
 * Memory: a `struct published` a loop and image; the loop posts the one it leaves back, and the control loop alone
 *         counts references to images and settings. */
#pragma once
#include "broker/node.h"

struct publisher;
struct publisher *publisher_new(struct node *node, struct loop *control, struct grave *grave,
                                const struct config *base);
/* Gets the newest image at once if one was published before. kind: of the loop, for DISK loops are told before NET loops. */
void publisher_slot(struct publisher *p, struct image_slot *slot, struct loop *loop, enum loop_kind kind,
                    void (*adopted)(struct image_slot *, const struct published *, const struct published *));
/* NET loops are woken for what is published now rather than within WAKE_MS (publish.c): somebody waits for what they show. */
void publisher_hurry(struct publisher *p);
/* What every NET loop shows by now: the lowest offset of the images that they have adopted. */
int64_t publisher_shown(const struct publisher *p);
/* `shown` runs whenever a NET loop has adopted an image. */
void publisher_watch(struct publisher *p, void (*shown)(void *arg), void *arg);
/* Before anything is published: publisher_config() has the settings under the image that was loaded. */
void publisher_begin(struct publisher *p, const struct image *image);
/* Nothing if it is the last one. true: with other settings than before. */
bool publisher_publish(struct publisher *p, struct image *image);
const struct config *publisher_config(const struct publisher *p); /* in force on the control loop */
/* Nothing is published any more, and loops may stop. */
void publisher_rest(struct publisher *p);
/* All loops with slots have stopped. */
void publisher_drop(struct publisher *p);
