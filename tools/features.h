/* Kafka's feature levels: what each metadata version brings, by name and number.
 * Loop: any. Memory: constants. */
#pragma once
#include "base/mem.h"

enum { FEATURES_FIRST = 7, FEATURES_LAST = 30, FEATURES_N = 6 };

/* The names of the other features, in the order in which Kafka's tool prints them. */
extern const char *const features_names[FEATURES_N];

/* "4.3-IV0", or "4.3" for the last of that release; -1: no such version. */
int features_find(const char *text);
const char *features_version_name(int level);
int features_level(int feature,
                   int metadata_version); /* that a cluster of that metadata version begins with */
int features_max(int feature);
