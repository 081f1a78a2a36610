/* The commands of the metadata shell on one image: ls cat cd pwd tree find stat help. Pure: lines come in, text goes out.
 * Loop: any. Memory: the shell's own few hundred bytes; the image and what leads to `out` are lent.
 * Paths may have * ? [] in each of their parts, as file names do. */
#pragma once
#include "tools/meta_tree.h"

struct meta_shell {
    struct tree tree;
    struct bytes cwd;
    struct bytes *out;
    void (*written)(void *arg); /* now and then: `out` may be passed on and emptied */
    void *arg;
    bool failed; /* a command since the start met something that isn't there */
    bool ended;  /* exit was typed */
};
void meta_shell_init(struct meta_shell *s, struct heap *h, const struct image *image, struct bytes *out,
                     void (*written)(void *arg), void *arg);
void meta_shell_drop(struct meta_shell *s);
void meta_shell_run(struct meta_shell *s, const char *line);
/* What the last word of a line may become, whole words, directories with a '/' at their end, in order; `from`: where
 * that word begins. */
void meta_shell_complete(struct meta_shell *s, const char *line, size_t *from,
                         void (*each)(void *arg, const char *word), void *arg);
