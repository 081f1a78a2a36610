/* The voters that a quorum begins with, as `storage format --initial-controllers` takes them:
 *
 *     ID@HOST:PORT:DIRECTORY,…    an address of IPv6 in brackets; spaces around one don't count
 *
 * Loop: any. Memory: values. */
#pragma once
#include "quorum/formatted.h"

enum { VOTER_LIST_WHY_MAX = 160 };
/* false: `why` says what is wrong with it, in Kafka's words where Kafka minds. */
bool voter_list_parse(const char *text, struct formatted *out, char why[VOTER_LIST_WHY_MAX]);
