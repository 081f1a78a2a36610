#include "quorum_disk.h"
#include "scenario.h"
#include <stdio.h>
#include <stdlib.h>

/* ---- the log ---- */

struct walk {
    struct sim *s;
    int node;
    qdisk_each each;
    void *arg;
    int64_t end; /* -1: nothing yet */
    bool over;
};

static bool ends_with(const char *path, const char *what)
{
    size_t len = strlen(path), n = strlen(what);

    return len >= n && strcmp(path + len - n, what) == 0;
}

static void segment(void *arg, const char *path, bool is_dir, int64_t size)
{
    struct walk *w = arg;
    struct batch_view v;
    struct slice rest;
    uint8_t *bytes;
    size_t got;

    if (is_dir || size == 0 || w->over || !ends_with(path, ".log"))
        return;
    bytes = malloc((size_t)size);
    JUDGE(bytes && sim_file_read(w->s, w->node, path, 0, bytes, (size_t)size, &got) == E_OK,
          "node %d: %s can't be read", w->node, path);
    for (rest = slice_of(bytes, got); !w->over && rest.len > 0;) {
        w->over = batch_next(&rest, &v) || !batch_crc_ok(&v) || (w->end >= 0 && v.base_offset != w->end);
        if (w->over)
            break;
        w->end = v.last_offset + 1;
        w->each(w->arg, &v);
    }
    free(bytes);
}

bool qdisk_batches(struct sim *s, int node, qdisk_each each, void *arg)
{
    struct walk w = {.s = s, .node = node, .each = each, .arg = arg, .end = -1};

    sim_files(s, node, QUORUM_LOG, segment, &w);
    return w.over;
}

/* ---- checkpoints ---- */

static void checkpoint(void *arg, const char *path, bool is_dir, int64_t size)
{
    int64_t *newest = arg;
    long long offset;
    const char *name = strrchr(path, '/');

    if (!is_dir && name && ends_with(path, ".checkpoint") && sscanf(name, "/%20lld-", &offset) == 1 &&
        offset > *newest)
        *newest = offset;
}

int64_t qdisk_checkpoint(struct sim *s, int node)
{
    int64_t newest = -1;

    sim_files(s, node, QUORUM_LOG, checkpoint, &newest);
    return newest;
}

/* ---- term and vote ---- */

struct qdisk_state qdisk_state(struct sim *s, int node)
{
    struct qdisk_state state = {.voted = -1};
    char text[512] = "";
    size_t got = 0;
    int leader;

    if (sim_file_read(s, node, QUORUM_LOG "/quorum-state", 0, text, sizeof(text) - 1, &got) || got == 0)
        return state;
    JUDGE(sscanf(text, "{\"leaderId\":%d,\"leaderEpoch\":%d,\"votedId\":%d,", &leader, &state.epoch,
                 &state.voted) == 3,
          "node %d: quorum-state is %s", node, text);
    return state;
}
