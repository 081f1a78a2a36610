#include "metadata/features.h"

const struct feature_row FEATURES[FEATURE_COUNT] = {
    {FEATURE_ELR, 0, ELR_VERSION},
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

const char *metadata_version_name(int level)
{
    static const char *const names[] = {
        "3.3-IV3", "3.4-IV0", "3.5-IV0", "3.5-IV1", "3.5-IV2", "3.6-IV0", "3.6-IV1", "3.6-IV2",
        "3.7-IV0", "3.7-IV1", "3.7-IV2", "3.7-IV3", "3.7-IV4", "3.8-IV0", "3.9-IV0", "4.0-IV0",
        "4.0-IV1", "4.0-IV2", "4.0-IV3", "4.1-IV0", "4.1-IV1", "4.2-IV0", "4.2-IV1", "4.3-IV0",
    };

    return level < METADATA_VERSION_MIN || level > METADATA_VERSION ? NULL
                                                                    : names[level - METADATA_VERSION_MIN];
}
