/* A small world for loading settings: files and an environment in memory, warnings kept. */
#pragma once
#include "broker/config.h"
#include "tests/check.h"

struct small_world {
    struct heap *heap;
    struct config_world calls;
    const char *files[4][2]; /* path, text */
    const char *env[4][2];
    struct bytes warned;
    struct bytes why;
};

void small_world_init(struct small_world *w);
/* Loads `text` as server.properties over what one node needs; NULL: it failed, and w->why tells. */
struct config *small_load(struct small_world *w, const char *text);
struct config *small_load_bare(struct small_world *w, const char *text, const char *const *sets, int n_sets);
bool small_said(const struct bytes *b, const char *part);
/* Both at once, for a text that must load. heap_drop(w->heap) ends it all. */
struct config *small_config(struct small_world *w, const char *text);
