/* An image's things as people and programs read them.
 * Loop: any. Memory: text is appended; nothing is kept. */
#pragma once
#include "metadata/image.h"
#include "tools/table.h"

/* One object each, closed. name: as in table.h. */
void meta_json_feature(struct json *j, const char *name, const struct image_feature *f);
void meta_json_broker(struct json *j, const char *name, const struct image_broker *b);
void meta_json_controller(struct json *j, const char *name, const struct image_controller *c);
void meta_json_request(struct json *j, const char *name, const struct image_request *q);
void meta_json_request_done(struct json *j, const struct record_request_done *d); /* its members */
void meta_json_partition(struct json *j, const char *name, const struct image *i,
                         const struct image_partition *p);
void meta_json_config(struct json *j, const char *name, const struct image_config *c);

/* "Online  leader 1  epoch 3  replicas 1,2 (2 Offline)  ISR 1 …", without what is empty. */
void meta_text_partition(const struct image *i, const struct image_partition *p, struct bytes *out);
/* "unfenced  rack a  epoch 5  PLAINTEXT://…" */
void meta_text_broker(const struct image_broker *b, struct bytes *out);
