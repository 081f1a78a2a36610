/* Inside of image*.c alone: how values are made and what the maps know of them. */
#pragma once
#include "metadata/image.h"

extern const struct pmap_kind image_topic_kind, image_name_kind, image_partition_kind, image_broker_kind,
    image_controller_kind, image_config_kind, image_feature_kind, image_request_kind, image_due_kind;

struct image_topic *image_topic_make(struct grave *g, const struct record_topic *r, struct slice unknown);
struct image_name *image_name_make(struct grave *g, struct slice key, struct slice name, struct uuid id);
struct image_partition *image_partition_make(struct grave *g, const struct record_partition *r,
                                             struct slice unknown);
struct image_broker *image_broker_make(struct grave *g, const struct record_register_broker *r,
                                       struct slice unknown);
struct image_controller *image_controller_make(struct grave *g, const struct record_register_controller *r,
                                               struct slice unknown);
struct image_config *image_config_make(struct grave *g, const struct record_config *r);
struct image_feature *image_feature_make(struct grave *g, const struct record_feature *r);
/* A reference for each map that it belongs in. */
struct image_request *image_request_make(struct grave *g, const struct record_request_done *r,
                                         struct slice unknown);

/* Keys for looking up. */
enum { CONFIG_KEY_HEAD = 3, NAME_KEY_MAX = 2 * 256, REQUEST_KEY_LEN = sizeof(struct uuid) + 4 };
struct slice image_config_key(uint8_t *to, size_t room, enum config_resource type, struct slice resource,
                              struct slice name); /* null: no such key can be */
struct slice image_int_key(uint8_t to[4], int32_t n);
struct slice image_request_key(uint8_t to[REQUEST_KEY_LEN], struct uuid id, int32_t piece);
/* Does a name have '.' or '_'? Then *key is what it shares with names that it collides with, and a NUL. */
bool image_collision_prefix(struct slice name, uint8_t to[NAME_KEY_MAX], struct slice *key);
