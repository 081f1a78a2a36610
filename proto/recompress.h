/* The same records in another codec: what a topic's compression.type asks for.
 * Loop:   any; a codec cache belongs to one thread.
 * Memory: the records once as they are uncompressed (at most `room`), and the result.
 * Always: header and records stay byte for byte but for length, codec and CRC: offsets, timestamps, producer,
 *         LogAppendTime and delete horizon included. */
#pragma once
#include "proto/batch.h"

/* Adds the batch in the other codec to `out`. If it has that codec already nothing is added, and the batch
 * itself is to be used: a level alone is no reason to compress again (Kafka's rule). E_MESSAGE_TOO_LARGE more
 * than `room` bytes uncompressed E_CORRUPT_MESSAGE    what the batch calls compressed isn't */
enum err batch_recompress(struct codec_cache *cache, const struct batch_view *v, enum codec codec, int level,
                          size_t room, struct bytes *out);
