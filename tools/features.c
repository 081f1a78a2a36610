#include "tools/features.h"
#include "base/check.h"

const char *const features_names[FEATURES_N] = {"kraft.version", "transaction.version",
                                                "group.version", "eligible.leader.replicas.version",
                                                "share.version", "streams.version"};

/* From metadata version 7 on. */
static const char *const versions[] = {"3.3-IV3", "3.4-IV0", "3.5-IV0", "3.5-IV1", "3.5-IV2", "3.6-IV0",
                                       "3.6-IV1", "3.6-IV2", "3.7-IV0", "3.7-IV1", "3.7-IV2", "3.7-IV3",
                                       "3.7-IV4", "3.8-IV0", "3.9-IV0", "4.0-IV0", "4.0-IV1", "4.0-IV2",
                                       "4.0-IV3", "4.1-IV0", "4.1-IV1", "4.2-IV0", "4.2-IV1", "4.3-IV0"};

/* The level of a feature, and the metadata version from which on a new cluster has it. */
static const struct {
    int level, from;
} steps[FEATURES_N] = {{1, 21}, {2, 24}, {1, 22}, {1, 26}, {1, 28}, {1, 29}};

int features_find(const char *text)
{
    int found = -1;
    size_t len = strlen(text);

    for (int i = 0; i <= FEATURES_LAST - FEATURES_FIRST; i++)
        if (strcmp(versions[i], text) == 0 ||
            (strncmp(versions[i], text, len) == 0 && versions[i][len] == '-'))
            found = FEATURES_FIRST + i;
    return found;
}

const char *features_version_name(int level)
{
    ASSERT(level >= FEATURES_FIRST && level <= FEATURES_LAST);
    return versions[level - FEATURES_FIRST];
}

int features_level(int feature, int metadata_version)
{
    return metadata_version >= steps[feature].from ? steps[feature].level : 0;
}

int features_max(int feature)
{
    return steps[feature].level;
}
