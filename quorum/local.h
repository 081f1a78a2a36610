/* One voter without raft, on the files that raft keeps: for unit tests of what stands on a quorum and has no need of an
 * election. Everything as quorum.h says of the function of that name; nothing is sent, asked for or installed. */
#pragma once
#include "quorum/quorum.h"

struct local;
struct local *local_start(struct io *io, struct loop *control, struct grave *grave,
                          const struct quorum_settings *settings, const struct quorum_ops *ops);
void local_submit(struct local *q, struct quorum_entry *e);
void local_snapshot(struct local *q);
struct quorum_view local_view(const struct local *q);
void local_end_waits(struct local *q);
void local_stop(struct local *q, struct msg *stopped);
