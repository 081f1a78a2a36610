/* A persistent ordered map: a copy-on-write B-tree from bytes to counted values. An old root costs nothing to
 * keep and never changes; what two roots share is shared in memory too.
 *
 * Loop:   one thread at a time counts references (pmap_ref, edits, graves); any thread may read a root that
 *         somebody keeps for it: reading writes nothing.
 * Memory: a map is a root and a count, copied by pmap_ref(). A value belongs to the maps that hold it; its key
 *         lies inside it and never changes. What nobody holds any more goes to a grave and is freed in steps.
 * Edits:  put, edit and remove change *m. Nodes that *m alone holds are changed in place, others are copied
 *         first, so many edits of one draft cost one copy of what they touch.
 * Always: keys rise strictly in slice_cmp() order; all leaves are equally deep; no node but an absent root is
 *         empty. */
#pragma once
#include "base/mem.h"

enum { PMAP_FANOUT = 32, PMAP_DEPTH_MAX = 20 };

/* First in every value. */
struct pval {
    uint32_t refs;
};

struct pnode;
struct grave;

/* What a map must know of its values. */
struct pmap_kind {
    struct slice (*key)(const struct pval *v);
    void (*drop)(struct grave *g, struct pval *v); /* refs is 0: free it; maps inside go to the grave */
    struct pval *(*copy)(struct grave *g, const struct pval *v); /* for pmap_edit(); refs of the copy is 1 */
};

struct pmap {
    const struct pmap_kind *kind;
    struct pnode *root; /* NULL: empty */
    uint32_t count;
};

/* Where nodes go to be freed. It also carries the heap that maps and values come from. */
struct grave {
    struct heap *heap;
    struct pnode *first; /* nobody holds them */
};

void grave_init(struct grave *g, struct heap *h);
/* Frees at most `max` nodes and what hangs on them, less where much does: 1,000 take about 1 ms. true: more are left. */
bool grave_step(struct grave *g, int max);
void grave_empty(struct grave *g); /* all at once: where nobody waits */

/* The same map again; both are held from now on. */
struct pmap pmap_ref(const struct pmap *m);
/* Lets go; *m is empty then. Nodes go to the grave. */
void pmap_drop(struct pmap *m, struct grave *g);

const struct pval *pmap_get(const struct pmap *m, struct slice key); /* NULL: not there */
/* Adds v or replaces the value of the same key; takes over one reference (refs is 1 for a new value). */
void pmap_put(struct pmap *m, struct grave *g, struct pval *v);
/* A value that *m alone holds and that may be changed in place (its key excepted); NULL: not there. */
struct pval *pmap_edit(struct pmap *m, struct grave *g, struct slice key);
bool pmap_remove(struct pmap *m, struct grave *g, struct slice key); /* false: it wasn't there */
void pval_unref(const struct pmap_kind *kind, struct grave *g, struct pval *v);

/* In the order of keys. The map must be held, unchanged, while it lasts. */
struct pmap_iter {
    const struct pnode *node[PMAP_DEPTH_MAX];
    uint16_t at[PMAP_DEPTH_MAX];
    int depth;
};
struct pmap_iter pmap_first(const struct pmap *m);
struct pmap_iter pmap_from(const struct pmap *m, struct slice key); /* the first key that isn't smaller */
const struct pval *pmap_next(struct pmap_iter *it);                 /* NULL: the end */

/* What differs, in the order of keys; subtrees that both share are skipped. A value that was replaced by an
 * equal one is told as a change: values are compared by identity. */
typedef void (*pmap_diff_fn)(void *arg, const struct pval *before,
                             const struct pval *after); /* NULL: wasn't, isn't */
void pmap_diff(const struct pmap *before, const struct pmap *after, pmap_diff_fn each, void *arg);

size_t pmap_nodes(const struct pmap *m); /* how many it reaches; for tests */
bool pmap_ok(const struct pmap *m);      /* every sentence of "Always"; for tests */
