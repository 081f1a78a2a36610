#include "metadata/features.h"

const struct feature_row FEATURES[FEATURE_COUNT] = {
    {FEATURE_ELR, 0, ELR_VERSION},
    {FEATURE_KRAFT, 0, KRAFT_VERSION},
    {FEATURE_METADATA, METADATA_VERSION_MIN, METADATA_VERSION},
    {FEATURE_WEIR, WEIR_VERSION_MIN, WEIR_VERSION},
};

const struct feature_row *feature_find(struct slice name)
{
    for (int i = 0; i < FEATURE_COUNT; i++)
        if (slice_eq(name, SLICE(FEATURES[i].name)))
            return &FEATURES[i];
    return NULL;
}
