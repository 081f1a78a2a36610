/* A topic's settings in force, as a log wants them: the image's entries over the broker's settings. */
#pragma once
#include "broker/config.h"
#include "log/log.h"
#include "metadata/image.h"

bool topic_has_settings(const struct image *image, struct slice topic);
void topic_log_config(const struct config *config, const struct image *image, struct slice topic,
                      struct log_config *out);
