/* The handlers' functions, and the rows' numbers: all from handlers.def. broker/request.h says what a handler may do
 * and when. */
#pragma once
#include "broker/request.h"

#define X(name, min, max, on, function) void function(struct request *r);
#include "broker/api/handlers.def"
#undef X

enum handler_row {
#define X(name, min, max, on, function) HANDLER_##name,
#include "broker/api/handlers.def"
#undef X
};

void fetch_metadata(struct request *r); /* Fetch on the controller's listener */
/* ApiVersions in a version that we don't have: answered in version 0. */
void api_versions_unsupported(struct request *r);
