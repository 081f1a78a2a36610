#include "codec.h"
#include <isa-l/crc.h>
#include <limits.h>

/* isa-l folds by carry-less multiplication where the processor can and has a table where it can't. Its
 * function neither begins nor ends with the inversion that CRC-32C prescribes. */
uint32_t crc32c(uint32_t crc, const void *p, size_t len)
{
    crc = ~crc;
    for (; len > INT_MAX; p = (const uint8_t *)p + INT_MAX, len -= INT_MAX)
        crc = crc32_iscsi((unsigned char *)p, INT_MAX, crc);
    return ~crc32_iscsi((unsigned char *)p, (int)len, crc);
}
