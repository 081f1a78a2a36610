/* What a new cluster begins with, as this node's directory was formatted: `bootstrap.checkpoint` beside meta.properties,
 * under Kafka's name, an image of features alone in the format of every checkpoint (metadata/snapshot.h). Only where that
 * isn't what every new cluster begins with is there such a file; it says nothing once the metadata log has records.
 * Loop: a DISK loop. */
#pragma once
#include "base/io.h"

/* dir: metadata.log.dir, which exists. */
enum err bootstrap_write(struct io *io, const char *dir, int16_t metadata_version);
/* METADATA_VERSION if there is no file. E_MALFORMED: it is damaged, or from elsewhere. */
enum err bootstrap_read(struct io *io, const char *dir, int16_t *metadata_version);
