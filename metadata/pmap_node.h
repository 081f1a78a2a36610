/* Inside of pmap.c and pmap_diff.c alone: a node holds n values and, if it isn't a leaf, n + 1 children:
 * child[i] has the keys between val[i - 1] and val[i]. Leaves are as large as they need to be, because most
 * maps are small. */
#pragma once
#include "metadata/pmap.h"

enum { PNODE_VALUES_MAX = PMAP_FANOUT - 1 };

struct pnode {
    uint32_t refs;
    uint8_t n;
    uint8_t room;
    uint8_t height; /* 0: a leaf */
    const struct pmap_kind *kind;
    struct pnode *next; /* in the grave */
    struct pval *val[];
};

static inline struct pnode **pnode_children(const struct pnode *n)
{
    return (struct pnode **)(void *)&n->val[PNODE_VALUES_MAX];
}
