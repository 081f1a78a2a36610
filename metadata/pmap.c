#include "metadata/pmap.h"
#include "base/check.h"
#include "metadata/pmap_node.h"

/* Who may write: a node with one reference, reached from the map through nodes with one reference. own()
 * makes that true of one node by copying it, which takes a reference to everything it holds.
 * Room of leaves: ROOM_MIN, doubled up to the limit. */
enum { VALUES_MAX = PNODE_VALUES_MAX, VALUES_MIN = VALUES_MAX / 2, ROOM_MIN = 3 };

/* ---- nodes ---- */

static size_t node_size(int height, int room)
{
    size_t slots = height ? VALUES_MAX + PMAP_FANOUT : (size_t)room;

    return sizeof(struct pnode) + slots * sizeof(void *);
}

static struct pnode *node_new(struct grave *g, const struct pmap_kind *kind, int height, int n)
{
    int room = ROOM_MIN;
    struct pnode *node;

    while (room < n || (height && room < VALUES_MAX))
        room = room * 2 + 1 < VALUES_MAX ? room * 2 + 1 : VALUES_MAX;
    node = heap_alloc(g->heap, node_size(height, room));
    node->refs = 1;
    node->room = (uint8_t)room;
    node->height = (uint8_t)height;
    node->kind = kind;
    return node;
}

static void copy_slots(struct pnode *to, const struct pnode *from)
{
    to->n = from->n;
    memcpy(to->val, from->val, from->n * sizeof(to->val[0]));
    if (from->height)
        memcpy(pnode_children(to), pnode_children(from), (from->n + 1u) * sizeof(struct pnode *));
}

/* Makes *at a node that only its parent holds, with room for `more` further values in a leaf. */
static struct pnode *own(struct grave *g, struct pnode **at, int more)
{
    struct pnode *old = *at;
    int want = old->n + more < VALUES_MAX ? old->n + more : VALUES_MAX;
    struct pnode *node;

    if (old->refs == 1 && old->room >= want)
        return old;
    node = node_new(g, old->kind, old->height, want);
    copy_slots(node, old);
    *at = node;
    if (old->refs == 1) {
        heap_free(g->heap, old);
        return node;
    }
    old->refs--;
    for (int i = 0; i < node->n; i++)
        node->val[i]->refs++;
    for (int i = 0; node->height && i <= node->n; i++)
        pnode_children(node)[i]->refs++;
    return node;
}

static void node_unref(struct grave *g, struct pnode *node)
{
    ASSERT(node->refs > 0);
    if (--node->refs > 0)
        return;
    node->next = g->first;
    g->first = node;
}

static bool let_go(const struct pmap_kind *kind, struct grave *g, struct pval *v)
{
    ASSERT(v->refs > 0);
    if (--v->refs > 0)
        return false;
    kind->drop(g, v);
    return true;
}

void pval_unref(const struct pmap_kind *kind, struct grave *g, struct pval *v)
{
    (void)let_go(kind, g, v);
}

enum {
    TIDY_NODES = 32,
    TIDY_BYTES = 2048,
    NODE_VALUES = 8 /* cost as much to free as a node */,
    EMPTY_STEP = 1000
};

void grave_init(struct grave *g, struct heap *h)
{
    *g = (struct grave){.heap = h};
}

/* The C library sorts what was freed at the next request for a larger piece, thousands at once: 5 ms after 250,000
 * partitions. Asked for here, it does so bit by bit. */
static void tidy(struct heap *h)
{
    heap_free(h, heap_alloc(h, TIDY_BYTES));
}

bool grave_step(struct grave *g, int max)
{
    int since = 0;

    for (int n = 0; g->first && n < max; n++) {
        struct pnode *node = g->first;
        int freed = 0;

        g->first = node->next;
        for (int i = 0; i < node->n; i++)
            freed += let_go(node->kind, g, node->val[i]);
        n += freed / NODE_VALUES;
        for (int i = 0; node->height && i <= node->n; i++)
            node_unref(g, pnode_children(node)[i]);
        heap_free(g->heap, node);
        if (++since >= TIDY_NODES) {
            tidy(g->heap);
            since = 0;
        }
    }
    return g->first != NULL;
}

void grave_empty(struct grave *g)
{
    while (grave_step(g, EMPTY_STEP))
        ;
}

struct pmap pmap_ref(const struct pmap *m)
{
    if (m->root)
        m->root->refs++;
    return *m;
}

void pmap_drop(struct pmap *m, struct grave *g)
{
    if (m->root)
        node_unref(g, m->root);
    m->root = NULL;
    m->count = 0;
}

/* ---- search ---- */

/* The first value that isn't smaller; *found: it is equal. */
static int find(const struct pnode *node, struct slice key, bool *found)
{
    int low = 0, high = node->n;

    *found = false;
    while (low < high) {
        int mid = (low + high) / 2;
        int c = slice_cmp(node->kind->key(node->val[mid]), key);

        if (c == 0) {
            *found = true;
            return mid;
        }
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

const struct pval *pmap_get(const struct pmap *m, struct slice key)
{
    const struct pnode *node = m->root;

    while (node) {
        bool found;
        int i = find(node, key, &found);

        if (found)
            return node->val[i];
        node = node->height ? pnode_children(node)[i] : NULL;
    }
    return NULL;
}

/* ---- put ---- */

static void open_slot(struct pnode *node, int i)
{
    memmove(&node->val[i + 1], &node->val[i], (size_t)(node->n - i) * sizeof(node->val[0]));
    if (node->height)
        memmove(&pnode_children(node)[i + 2], &pnode_children(node)[i + 1],
                (size_t)(node->n - i) * sizeof(struct pnode *));
    node->n++;
}

static void close_slot(struct pnode *node, int i)
{
    node->n--;
    memmove(&node->val[i], &node->val[i + 1], (size_t)(node->n - i) * sizeof(node->val[0]));
    if (node->height)
        memmove(&pnode_children(node)[i + 1], &pnode_children(node)[i + 2],
                (size_t)(node->n - i) * sizeof(struct pnode *));
}

/* Splits the full child i of `parent` (both owned). A child that grows at its end stays nearly full: keys
 * that come in order fill the tree. */
static void split(struct grave *g, struct pnode *parent, int i, bool at_end)
{
    struct pnode *left = pnode_children(parent)[i];
    int keep = at_end ? VALUES_MAX - 2 : VALUES_MAX / 2;
    int moved = left->n - keep - 1;
    struct pnode *right = node_new(g, left->kind, left->height, moved);

    ASSERT(left->n == VALUES_MAX && parent->n < VALUES_MAX && left->refs == 1);
    memcpy(right->val, &left->val[keep + 1], (size_t)moved * sizeof(right->val[0]));
    if (left->height)
        memcpy(pnode_children(right), &pnode_children(left)[keep + 1],
               ((size_t)moved + 1) * sizeof(struct pnode *));
    right->n = (uint8_t)moved;
    open_slot(parent, i);
    parent->val[i] = left->val[keep];
    pnode_children(parent)[i + 1] = right;
    left->n = (uint8_t)keep;
}

/* The tree grows at its root, so that a split always finds room above. */
static void grow(struct pmap *m, struct grave *g, struct slice key)
{
    struct pnode *top;
    bool found;
    int i;

    if (!m->root)
        m->root = node_new(g, m->kind, 0, 1);
    if (m->root->n < VALUES_MAX)
        return;
    top = node_new(g, m->kind, m->root->height + 1, 1);
    pnode_children(top)[0] = m->root;
    m->root = top;
    i = find(own(g, &pnode_children(top)[0], 0), key, &found);
    split(g, top, 0, i == VALUES_MAX);
}

void pmap_put(struct pmap *m, struct grave *g, struct pval *v)
{
    struct slice key = m->kind->key(v);
    struct pnode **at = &m->root;

    grow(m, g, key);
    for (;;) {
        struct pnode *node = own(g, at, 1);
        bool found;
        int i = find(node, key, &found);

        if (!found && node->height && pnode_children(node)[i]->n == VALUES_MAX) {
            struct pnode *child = own(g, &pnode_children(node)[i], 0);

            split(g, node, i, find(child, key, &found) == VALUES_MAX);
            i = find(node, key, &found); /* the value that moved up may be the one */
        }
        if (found) {
            pval_unref(m->kind, g, node->val[i]);
            node->val[i] = v;
            return;
        }
        if (!node->height) {
            open_slot(node, i);
            node->val[i] = v;
            m->count++;
            return;
        }
        at = &pnode_children(node)[i];
    }
}

struct pval *pmap_edit(struct pmap *m, struct grave *g, struct slice key)
{
    struct pnode **at = &m->root;

    if (!pmap_get(m, key))
        return NULL;
    for (;;) {
        struct pnode *node = own(g, at, 0);
        bool found;
        int i = find(node, key, &found);

        if (!found) {
            at = &pnode_children(node)[i];
            continue;
        }
        if (node->val[i]->refs > 1) {
            struct pval *copy = m->kind->copy(g, node->val[i]);

            pval_unref(m->kind, g, node->val[i]);
            node->val[i] = copy;
        }
        return node->val[i];
    }
}

/* ---- remove ---- */

/* Children i and i + 1 of `node` and the value between them become one. */
static void merge(struct grave *g, struct pnode *node, int i)
{
    int total = pnode_children(node)[i]->n + 1 + pnode_children(node)[i + 1]->n;
    struct pnode *right = own(g, &pnode_children(node)[i + 1], 0);
    struct pnode *left = own(g, &pnode_children(node)[i], total - pnode_children(node)[i]->n);

    left->val[left->n] = node->val[i];
    memcpy(&left->val[left->n + 1], right->val, right->n * sizeof(right->val[0]));
    if (left->height)
        memcpy(&pnode_children(left)[left->n + 1], pnode_children(right),
               (right->n + 1u) * sizeof(struct pnode *));
    left->n = (uint8_t)total;
    close_slot(node, i);
    heap_free(g->heap, right);
}

/* One value moves over `node`'s value i, from the right child to the left one. */
static void rotate_left(struct grave *g, struct pnode *node, int i)
{
    struct pnode *left = own(g, &pnode_children(node)[i], 1);
    struct pnode *right = own(g, &pnode_children(node)[i + 1], 0);

    left->val[left->n] = node->val[i];
    node->val[i] = right->val[0];
    if (left->height)
        pnode_children(left)[left->n + 1] = pnode_children(right)[0];
    left->n++;
    right->n--;
    memmove(right->val, &right->val[1], right->n * sizeof(right->val[0]));
    if (right->height)
        memmove(pnode_children(right), &pnode_children(right)[1], (right->n + 1u) * sizeof(struct pnode *));
}

static void rotate_right(struct grave *g, struct pnode *node, int i)
{
    struct pnode *left = own(g, &pnode_children(node)[i], 0);
    struct pnode *right = own(g, &pnode_children(node)[i + 1], 1);

    memmove(&right->val[1], right->val, right->n * sizeof(right->val[0]));
    if (right->height) {
        memmove(&pnode_children(right)[1], pnode_children(right), (right->n + 1u) * sizeof(struct pnode *));
        pnode_children(right)[0] = pnode_children(left)[left->n];
    }
    right->n++;
    right->val[0] = node->val[i];
    node->val[i] = left->val[--left->n];
}

/* Child i lost a value: if it has become small it joins a neighbour or takes from one. */
static void refill(struct grave *g, struct pnode *node, int i)
{
    struct pnode **kids = pnode_children(node);

    if (kids[i]->n >= VALUES_MIN)
        return;
    if (i > 0 && kids[i - 1]->n + 1 + kids[i]->n <= VALUES_MAX)
        merge(g, node, i - 1);
    else if (i < node->n && kids[i]->n + 1 + kids[i + 1]->n <= VALUES_MAX)
        merge(g, node, i);
    else if (i > 0)
        rotate_right(g, node, i - 1);
    else
        rotate_left(g, node, i);
}

/* Takes the largest value out of the subtree. */
static struct pval *take_last(struct grave *g, struct pnode **at)
{
    struct pnode *node = own(g, at, 0);
    struct pval *v;

    if (!node->height)
        return node->val[--node->n];
    v = take_last(g, &pnode_children(node)[node->n]);
    refill(g, node, node->n);
    return v;
}

static void remove_in(struct grave *g, struct pnode **at, struct slice key)
{
    struct pnode *node = own(g, at, 0);
    bool found;
    int i = find(node, key, &found);

    if (!node->height) {
        ASSERT(found);
        pval_unref(node->kind, g, node->val[i]);
        close_slot(node, i);
        return;
    }
    if (found) {
        pval_unref(node->kind, g, node->val[i]);
        node->val[i] = take_last(g, &pnode_children(node)[i]);
    } else {
        remove_in(g, &pnode_children(node)[i], key);
    }
    refill(g, node, i);
}

bool pmap_remove(struct pmap *m, struct grave *g, struct slice key)
{
    struct pnode *root;

    if (!pmap_get(m, key))
        return false;
    remove_in(g, &m->root, key);
    m->count--;
    root = m->root;
    if (root->n == 0) { /* owned: remove_in() has changed it */
        m->root = root->height ? pnode_children(root)[0] : NULL;
        heap_free(g->heap, root);
    }
    return true;
}

/* ---- walk ---- */

static void push(struct pmap_iter *it, const struct pnode *node, int at)
{
    ASSERT(it->depth < PMAP_DEPTH_MAX);
    it->node[it->depth] = node;
    it->at[it->depth++] = (uint16_t)at;
}

static void descend(struct pmap_iter *it, const struct pnode *node)
{
    for (; node; node = node->height ? pnode_children(node)[0] : NULL)
        push(it, node, 0);
}

struct pmap_iter pmap_first(const struct pmap *m)
{
    struct pmap_iter it = {.depth = 0};

    descend(&it, m->root);
    return it;
}

struct pmap_iter pmap_from(const struct pmap *m, struct slice key)
{
    struct pmap_iter it = {.depth = 0};
    const struct pnode *node = m->root;

    while (node) {
        bool found;
        int i = find(node, key, &found);

        push(&it, node, i);
        node = !found && node->height ? pnode_children(node)[i] : NULL;
    }
    return it;
}

/* A node on the stack stands before its value `at`; what is left of that value is behind us. */
const struct pval *pmap_next(struct pmap_iter *it)
{
    while (it->depth > 0) {
        const struct pnode *node = it->node[it->depth - 1];
        int i = it->at[it->depth - 1]++;

        if (i >= node->n) {
            it->depth--;
            continue;
        }
        if (node->height)
            descend(it, pnode_children(node)[i + 1]);
        return node->val[i];
    }
    return NULL;
}

static size_t count_nodes(const struct pnode *node)
{
    size_t n = 1;

    for (int i = 0; node->height && i <= node->n; i++)
        n += count_nodes(pnode_children(node)[i]);
    return n;
}

size_t pmap_nodes(const struct pmap *m)
{
    return m->root ? count_nodes(m->root) : 0;
}

static bool node_ok(const struct pnode *node)
{
    if (node->refs == 0 || node->n == 0 || node->n > node->room || node->room > VALUES_MAX)
        return false;
    for (int i = 0; node->height && i <= node->n; i++) {
        const struct pnode *child = pnode_children(node)[i];

        if (child->height + 1 != node->height || !node_ok(child))
            return false;
    }
    return true;
}

bool pmap_ok(const struct pmap *m)
{
    struct pmap_iter it = pmap_first(m);
    struct slice before = SLICE_NULL;
    const struct pval *v;
    uint32_t n = 0;

    if (m->root && !node_ok(m->root))
        return false;
    for (; (v = pmap_next(&it)); n++) {
        if (n > 0 && slice_cmp(before, m->kind->key(v)) >= 0)
            return false;
        before = m->kind->key(v);
    }
    return n == m->count;
}
