#include "broker/image_say.h"
#include "base/check.h"
#include "base/trace.h"
#include "metadata/image.h"

enum { CHECK_EVERY = 64 };

void image_say_end(struct image_say *s)
{
    if (s->last)
        image_unref(s->last, s->grave);
    s->last = NULL;
    s->n = 0;
}

void image_say(struct image_say *s, struct image *image)
{
    struct heap *heap = s->node->heap;

    if (!trace_says(s->node->io, TR_metadata_image)) {
        image_say_end(s);
        return;
    }
    s->hash = image_hash_after(s->last ? s->hash : 0, s->last, image, heap);
    if (s->n++ % CHECK_EVERY == 0)
        ASSERT(s->hash == image_hash(image, heap));
    if (s->last)
        image_unref(s->last, s->grave);
    s->last = image_ref(image);
    TRACE(s->node->io, metadata_image, (long long)image->offset, (unsigned long long)s->hash);
}
