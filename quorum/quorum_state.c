#include "quorum/quorum_state.h"
#include "base/codec.h"
#include "log/whole_file.h"
#include <stdio.h>

#define STATE_FILE "quorum-state"
enum { STATE_MAX = 512 };

void quorum_state_encode(const struct quorum_state *s, struct bytes *out)
{
    size_t from = out->len;
    char id[UUID_TEXT_LEN + 1];

    uuid_text(s->voted_directory_id, id);
    bytes_printf(
        out,
        "{\"leaderId\":%d,\"leaderEpoch\":%d,\"votedId\":%d,\"votedDirectoryId\":\"%s\",\"data_version\":1",
        s->leader_id, s->leader_epoch, s->voted_id, id);
    if (s->removed_index > 0)
        bytes_printf(out, ",\"removedIndex\":%lld", (long long)s->removed_index);
    if (s->founder)
        bytes_printf(out, ",\"founder\":true");
    bytes_printf(out, ",\"crc32c\":\"%08x\"}", crc32c(0, out->p + from, out->len - from));
}

/* Reads the fields, writes them again and compares: that checks the CRC and everything else at once. */
enum err quorum_state_decode(struct slice text, struct quorum_state *out)
{
    char line[STATE_MAX], id[UUID_TEXT_LEN + 1];
    struct quorum_state s = {0};
    const char *removed;
    long long index;
    uint8_t again[STATE_MAX];
    struct bytes b = {.p = again, .room = sizeof(again)}; /* without a heap: what it holds always fits */

    if (text.len == 0 || text.len >= sizeof(line))
        return E_CORRUPT_MESSAGE;
    memcpy(line, text.p, text.len);
    line[text.len] = 0;
    if (sscanf(line, "{\"leaderId\":%d,\"leaderEpoch\":%d,\"votedId\":%d,\"votedDirectoryId\":\"%22[^\"]\"",
               &s.leader_id, &s.leader_epoch, &s.voted_id, id) != 4 ||
        !uuid_parse(SLICE(id), &s.voted_directory_id))
        return E_CORRUPT_MESSAGE;
    removed = strstr(line, "\"removedIndex\":");
    if (removed && sscanf(removed, "\"removedIndex\":%lld", &index) == 1)
        s.removed_index = index;
    s.founder = strstr(line, "\"founder\":true") != NULL;
    quorum_state_encode(&s, &b);
    if (!slice_eq(bytes_slice(&b), text))
        return E_CORRUPT_MESSAGE;
    *out = s;
    return E_OK;
}

enum err quorum_state_read(struct io *io, const char *dir, struct quorum_state *out)
{
    char *path = path_join(io_heap(io), dir, STATE_FILE);
    struct bytes text;
    enum err err;

    bytes_init(&text, io_heap(io));
    err = whole_file_read(io, path, STATE_MAX, &text);
    if (err == E_MALFORMED)
        err = E_CORRUPT_MESSAGE;
    if (!err)
        err = quorum_state_decode(bytes_slice(&text), out);
    bytes_drop(&text);
    heap_free(io_heap(io), path);
    return err;
}

enum err quorum_state_write(struct io *io, const char *dir, const struct quorum_state *s)
{
    struct bytes text;
    enum err err;

    bytes_init(&text, io_heap(io));
    quorum_state_encode(s, &text);
    err = whole_file_replace(io, dir, STATE_FILE, bytes_slice(&text));
    bytes_drop(&text);
    return err;
}
