#include "base/check.h"
#include "metadata/pmap.h"
#include "metadata/pmap_node.h"

/* Two walkers go through both trees in order. Each stands before an item: a whole subtree or one value. Equal
 * subtrees are stepped over unseen; of two different ones the taller is opened. */
struct walker {
    const struct pnode *node[PMAP_DEPTH_MAX];
    uint16_t at[PMAP_DEPTH_MAX]; /* item 2i is child i, item 2i + 1 is value i */
    int depth;
};

struct item {
    const struct pnode *tree;
    const struct pval *value; /* both NULL: the end */
};

static struct item item(struct walker *w)
{
    while (w->depth > 0) {
        const struct pnode *node = w->node[w->depth - 1];
        int at = w->at[w->depth - 1];

        if (at > 2 * node->n) {
            w->depth--;
            if (w->depth > 0)
                w->at[w->depth - 1]++;
            continue;
        }
        if (at % 2)
            return (struct item){.value = node->val[at / 2]};
        if (node->height)
            return (struct item){.tree = pnode_children(node)[at / 2]};
        w->at[w->depth - 1]++;
    }
    return (struct item){0};
}

static void skip(struct walker *w)
{
    w->at[w->depth - 1]++;
}

static void enter(struct walker *w, const struct pnode *tree)
{
    ASSERT(w->depth < PMAP_DEPTH_MAX);
    w->node[w->depth] = tree;
    w->at[w->depth++] = 0;
}

/* One value on at least one side, no tree on either. */
static void tell(const struct pmap_kind *kind, struct walker *a, struct walker *b, struct item x,
                 struct item y, pmap_diff_fn each, void *arg)
{
    int c = !y.value             ? -1
            : !x.value           ? 1
            : x.value == y.value ? 0
                                 : slice_cmp(kind->key(x.value), kind->key(y.value));

    if (x.value != y.value)
        each(arg, c <= 0 ? x.value : NULL, c >= 0 ? y.value : NULL);
    if (c <= 0)
        skip(a);
    if (c >= 0)
        skip(b);
}

void pmap_diff(const struct pmap *before, const struct pmap *after, pmap_diff_fn each, void *arg)
{
    struct walker a = {.depth = 0}, b = {.depth = 0};
    const struct pmap_kind *kind = after->kind ? after->kind : before->kind;

    if (before->root == after->root)
        return;
    if (before->root)
        enter(&a, before->root);
    if (after->root)
        enter(&b, after->root);
    for (;;) {
        struct item x = item(&a), y = item(&b);

        if (x.tree && x.tree == y.tree) {
            skip(&a);
            skip(&b);
        } else if (x.tree && (!y.tree || x.tree->height >= y.tree->height)) {
            enter(&a, x.tree);
        } else if (y.tree) {
            enter(&b, y.tree);
        } else if (x.value || y.value) {
            tell(kind, &a, &b, x, y, each, arg);
        } else {
            return;
        }
    }
}
