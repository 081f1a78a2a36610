/* Bytes that may be no text, for people and for JSON. Pure. */
#pragma once
#include "base/mem.h"

bool utf8_ok(struct slice text);
/* Each sequence that is no UTF-8 becomes U+FFFD, as where Java makes a String of bytes. */
void utf8_add(struct bytes *out, struct slice text);
void base64_add(struct bytes *out, struct slice bytes); /* with + and /, padded */
