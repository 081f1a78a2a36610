/* Who may do what. Every handler asks here for each resource before it tells or changes anything about it. */
#include "broker/node.h"

bool authorize(const struct request *r, enum acl_operation op, enum acl_resource type, struct slice name)
{
    const struct node *n = r->net->node;

    return !n->authorizer || n->authorizer(r, op, type, name);
}
