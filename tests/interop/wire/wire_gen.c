/* Our side of the comparison with Kafka's message classes.
 *   wire_gen make SEED ROUNDS   writes lines: message, version, hex, JSON (with tabs between), of random values
 *   wire_gen check FILE         reads lines: message, version, hex; each must come back byte for byte */
#include "proto_gen.h"
#include "tests/wire/random.h"
#include <stdlib.h>

struct tool {
    struct heap *heap;
    struct arena arena;
    struct bytes out, json;
};

/* Tagged fields of ours, which Kafka's classes keep but can't name, have their defaults. */
static void without_ours(const struct proto_type *t, void *msg)
{
    if (t == &EnvelopeRequest_type) {
        memset(&((struct EnvelopeRequest *)msg)->request_id, 0, sizeof(struct uuid));
        ((struct EnvelopeRequest *)msg)->time_left_ms = -1;
    }
    if (t == &EnvelopeResponse_type)
        ((struct EnvelopeResponse *)msg)->shown_from = 0;
    if (t == &VotersRecord_type) {
        struct VotersRecord *r = msg;

        r->awaited_node_id = -1;
        for (int i = 0; i < r->voters.n; i++) {
            r->voters.v[i].node_id = -1;
            r->voters.v[i].role = 0;
        }
    }
}

static void make_line(struct tool *w, const struct proto_type *t, int version, struct test_random *r)
{
    void *msg = arena_alloc(&w->arena, t->size);

    wire_random(t, version, r, &w->arena, msg);
    without_ours(t, msg);
    w->out.len = w->json.len = 0;
    if (proto_encode(t, version, msg, &w->out, NULL)) {
        fprintf(stderr, "%s version %d can't be written\n", t->name, version);
        exit(1);
    }
    proto_json(t, version, msg, &w->json);
    printf("%s\t%d\t", t->name, version);
    for (size_t i = 0; i < w->out.len; i++)
        printf("%02x", w->out.p[i]);
    printf("\t%.*s\n", (int)w->json.len, w->json.p);
    arena_reset(&w->arena);
}

/* Ours, which Kafka has no class for. */
static bool ours(const struct proto_type *t)
{
    return strncmp(t->name, "Raft", 4) == 0;
}

static void make(struct tool *w, uint64_t seed, int rounds)
{
    struct test_random r;

    test_random_init(&r, seed);
    for (int i = 0; i < proto_types_n; i++) {
        const struct proto_type *t = proto_types[i];

        for (int v = t->versions.first; v <= t->versions.last && !ours(t); v++) {
            for (int n = 0; n < rounds; n++)
                make_line(w, t, v, &r);
        }
    }
}

static bool comes_back(struct tool *w, const char *name, int version, const char *hex)
{
    const struct proto_type *t = proto_type_find(SLICE(name));
    struct slice in = slice_of(arena_alloc(&w->arena, strlen(hex) / 2 + 1), strlen(hex) / 2);
    void *msg;
    enum err err;

    if (!t) {
        printf("%s: we have no such message\n", name);
        return false;
    }
    for (size_t i = 0; i < in.len; i++) {
        unsigned byte;

        if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
            return false;
        in.p[i] = (uint8_t)byte;
    }
    msg = arena_alloc(&w->arena, t->size);
    w->out.len = 0;
    err = proto_decode(t, version, in, &w->arena, msg);
    if (!err)
        err = proto_encode(t, version, msg, &w->out, NULL);
    if (err || !slice_eq(in, bytes_slice(&w->out)))
        printf("%s version %d: %s\n  %s\n", name, version, err ? err_name(err) : "other bytes", hex);
    return !err && slice_eq(in, bytes_slice(&w->out));
}

static int check(struct tool *w, const char *path)
{
    FILE *f = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;
    int passed = 0, failed = 0;

    if (!f) {
        perror(path);
        return 1;
    }
    while (getline(&line, &room, f) > 0) {
        char *save, *name = strtok_r(line, "\t\n", &save), *version = strtok_r(NULL, "\t\n", &save);
        char *hex = strtok_r(NULL, "\t\n", &save);

        if (name && version && comes_back(w, name, atoi(version), hex ? hex : ""))
            passed++;
        else
            failed++;
        arena_reset(&w->arena);
    }
    free(line);
    fclose(f);
    printf("Kafka's bytes: %d passed, %d failed\n", passed, failed);
    return failed > 0 || passed == 0;
}

int main(int argc, char **argv)
{
    struct tool w = {.heap = heap_new(false)};
    int status = 0;

    arena_init(&w.arena, w.heap, SIZE_MAX);
    bytes_init(&w.out, w.heap);
    bytes_init(&w.json, w.heap);
    if (argc == 4 && strcmp(argv[1], "make") == 0)
        make(&w, strtoull(argv[2], NULL, 10), atoi(argv[3]));
    else if (argc == 3 && strcmp(argv[1], "check") == 0)
        status = check(&w, argv[2]);
    else
        status = 2;
    arena_drop(&w.arena);
    bytes_drop(&w.out);
    bytes_drop(&w.json);
    heap_drop(w.heap);
    return status;
}
