/* What fuzz targets share. A target may have a planted bug (FUZZ_CANARY), which run.sh wants found before it believes the
 * target. */
#pragma once
#include "base/check.h"
#include "base/mem.h"
#include "proto/batch.h"
#include "proto/bigend.h"
#include "tests/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
size_t LLVMFuzzerMutate(uint8_t *data, size_t len, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t max, unsigned seed);

/* Whatever looks like a row of batches gets lengths that fit and checksums that are right, so that no mutation ends there.
 * `how` has a bit for each: 1 lengths, 2 magic, 4 checksums. */
static inline void fuzz_batches_mend(uint8_t *p, size_t len, unsigned how)
{
    while (len >= BATCH_HEAD) {
        size_t n = BATCH_PREFIX + (size_t)get_be32(p + 8);
        if (n > len || n < BATCH_HEAD) {
            if (!(how & 1))
                return;
            n = len;
            put_be32(p + 8, (uint32_t)(n - BATCH_PREFIX));
        }
        if (how & 2)
            p[BATCH_MAGIC_AT] = 2;
        if (how & 4)
            put_be32(p + BATCH_MAGIC_AT + 1, crc32c(0, p + BATCH_CRC_FROM, n - BATCH_CRC_FROM));
        p += n;
        len -= n;
    }
}
