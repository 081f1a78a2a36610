/* What is followed from afar begins after this node's image: the newest checkpoint of a voter takes its place, in memory.
 *
 *     control loop                              a DISK loop of its own
 *     afar_image_begin ─► FetchSnapshot ─► afar_image_piece ── msg ──► decoded as far as it goes
 *     the next piece, or afar_installed() ◄─────────────────── msg ─── with the last one the image
 *
 *  1. One piece at a time. Kept is what was decoded, and what isn't a whole batch yet.
 *  2. An image is taken whole or not at all. What doesn't read, or doesn't come, is asked for again, of another voter
 *     (link/follow.h).
 *  3. One that nobody wants any more, because the next life of the quorum has begun, comes home and is dropped. */
#include "broker/control_internal.h"

static void home(struct msg *msg);

/* The image has no other owner and leaves nothing in the loop's grave. */
static void decode(struct msg *msg)
{
    struct control *c = container_of(msg, struct control, afar.image.msg);
    struct afar_image *in = &c->afar.image;
    enum err err;

    if (!in->begun) {
        grave_init(&in->grave, c->node->heap);
        ckpt_stream_start(&in->stream, (struct ckpt_id){in->id.offset, in->id.epoch}, &in->grave);
    }
    in->begun = true;
    in->last |= ckpt_stream_take(&in->stream, in->piece) != E_OK;
    if (in->last) {
        err = ckpt_stream_end(&in->stream, &in->image, &in->voters);
        in->err = in->err ? in->err : err;
        grave_empty(&in->grave);
    }
    msg->run = home;
    loop_post(c->loop, msg);
}

static void decode_post(struct control *c)
{
    struct afar_image *in = &c->afar.image;

    if (!in->loop)
        in->loop = loop_start(c->node->io, LOOP_DISK, "afar");
    in->away = true;
    in->msg.run = decode;
    loop_post(in->loop, &in->msg);
}

/* Nothing of it is left but the image, if it is whole. */
static void over(struct control *c)
{
    struct afar_image *in = &c->afar.image;
    struct image *image = in->image;
    enum err err = in->err;
    bool takes = in->wanted && !c->quorum && !err;

    in->busy = in->begun = in->last = false;
    in->image = NULL;
    if (image && !takes) {
        image_unref(image, ctl_grave(c->ctl));
        control_turn(c);
    }
    if (!in->wanted) {
        afar_ended(c);
    } else if (takes) {
        afar_installed(c, in->id, image, &in->voters);
    } else {
        if (err)
            TRACE(c->node->io, quorum_install_failed, (long long)in->id.offset, err_text(err));
        afar_again(c);
    }
}

/* What was decoded of it goes where it was made. */
static void give_up(struct control *c)
{
    struct afar_image *in = &c->afar.image;

    if (!in->begun) {
        over(c);
        return;
    }
    in->last = true;
    decode_post(c);
}

static void ask(struct control *c)
{
    const struct afar_image *in = &c->afar.image;

    follow_ask(c->afar.follow, in->node, in->id, in->at);
}

static void home(struct msg *msg)
{
    struct control *c = container_of(msg, struct control, afar.image.msg);
    struct afar_image *in = &c->afar.image;

    in->away = false;
    in->at += (int64_t)in->piece.len;
    heap_free(c->node->heap, in->piece.p);
    in->piece = SLICE_NULL;
    if (in->last)
        over(c);
    else if (!in->wanted || c->quorum)
        give_up(c);
    else
        ask(c);
}

void afar_image_piece(void *arg, struct quorum_checkpoint id, int64_t at, int64_t size, struct slice bytes,
                      enum err err)
{
    struct control *c = arg;
    struct afar_image *in = &c->afar.image;

    ASSERT(in->busy && !in->away && at == in->at); /* one was asked for */
    if (!err && !ckpt_piece_fits(at, size, in->size, bytes.len))
        err = E_MALFORMED;
    in->err = err;
    if (err || c->quorum) {
        give_up(c);
        return;
    }
    in->size = size;
    in->piece = heap_copy(c->node->heap, bytes);
    in->last = at + (int64_t)bytes.len == size;
    decode_post(c);
}

void afar_image_begin(struct control *c, int32_t node, struct quorum_checkpoint id)
{
    struct afar_image *in = &c->afar.image;

    ASSERT(!in->busy);
    in->busy = in->wanted = true;
    in->node = node;
    in->id = id;
    in->at = in->size = 0;
    in->err = E_OK;
    TRACE(c->node->io, quorum_install, (long long)id.offset, id.epoch, node);
    ask(c);
}

void afar_image_end(struct control *c)
{
    struct afar_image *in = &c->afar.image;

    in->wanted = false;
    if (in->busy && !in->away)
        give_up(c);
}
