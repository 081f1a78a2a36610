/* An image as a tree of files, laid out as in Kafka's metadata shell. Pure.
 *
 *     /image/cluster/id                           /image/topics/byName/<topic>/{id,<partition>…}
 *     /image/cluster/{brokers,controllers}/<id>   /image/topics/byId/<topic id>/{name,<partition>…}
 *     /image/features/<name>                      /image/configs/<TOPIC:orders, BROKER, …>/<setting>
 *     /image/producerIds/nextProducerId           /image/provenance      /local/version
 *     /image/requests/<id of one that was done, and that may come again>
 *
 * Loop:   any. Memory: nodes are values that borrow the image; names are lent for a callback.
 * Names:  a '/' inside one is written %2F, a '%' %25. */
#pragma once
#include "metadata/image.h"

struct tree_node {
    int kind;
    bool directory;
    const struct image_topic *topic;
    const struct image_partition *partition;
    const struct image_broker *broker;
    const struct image_controller *controller;
    const struct image_feature *feature;
    const struct image_config *config; /* of a resource: any one of its settings */
    const struct image_request *request;
};

struct tree {
    const struct image *image;
    struct heap *heap;
};

struct tree_node tree_root(void);
bool tree_child(const struct tree *t, const struct tree_node *dir, const char *name, struct tree_node *out);
/* false from `each` ends the walk. */
typedef bool (*tree_fn)(void *arg, const char *name, const struct tree_node *node);
void tree_children(const struct tree *t, const struct tree_node *dir, tree_fn each, void *arg);
/* The content of a file, with a newline. */
void tree_cat(const struct tree *t, const struct tree_node *file, struct bytes *out);

/* `path` made absolute and plain: "." and ".." are gone, no '/' at the end but the root's. */
void tree_path(const char *cwd, const char *path, struct bytes *out);
/* An absolute plain path; false: there is nothing. */
bool tree_find(const struct tree *t, const char *path, struct tree_node *out);
