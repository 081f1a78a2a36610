#include "err.h"
#include "check.h"

struct err_row {
    int16_t wire;
    const char *name;
    const char *text;
};

static const struct err_row rows[ERR_COUNT] = {
#define ERR_ROW(n, w, t) [E_##n] = {.wire = w, .name = #n, .text = t},
    ERR_MAP(ERR_ROW)
#undef ERR_ROW
};

int16_t err_wire(enum err err)
{
    ASSERT(err < ERR_COUNT);
    return rows[err].wire;
}

/* Our own rows come first and share codes with Kafka's, so the search runs from the end. */
enum err err_of_wire(int16_t wire)
{
    if (wire == 0)
        return E_OK;
    for (int i = ERR_COUNT - 1; i > 0; i--)
        if (rows[i].wire == wire)
            return (enum err)i;
    return E_UNKNOWN_SERVER_ERROR;
}

const char *err_name(enum err err)
{
    ASSERT(err < ERR_COUNT);
    return rows[err].name;
}

const char *err_wire_name(int16_t wire)
{
    return wire == 0 ? "NONE" : err_name(err_of_wire(wire));
}

const char *err_text(enum err err)
{
    ASSERT(err < ERR_COUNT);
    return rows[err].text;
}
