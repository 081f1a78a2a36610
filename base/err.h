/* The one list of errors: name, Kafka wire code, text.
 * What the world does wrong is an `enum err`, which no caller may ignore; what we do wrong asserts (check.h).
 * The first rows are ours, for files, sockets and formats; the wire code beside them is what a client is told
 * if one reaches it. The rest are Kafka's, by Kafka's names. */
#pragma once
#include <stdint.h>

/* clang-format off */
#define ERR_MAP(X)                                                                                    \
    X(OK,                                       0, "ok")                                               \
    X(NOENT,                                   -1, "no such file")                                     \
    X(EXISTS,                                  -1, "exists already")                                   \
    X(ACCESS,                                  -1, "permission denied")                                \
    X(FULL,                                    56, "no space left on the device")                      \
    X(IO,                                      56, "input or output error")                            \
    X(BUSY,                                    -1, "in use elsewhere")                                 \
    X(COLD,                                    -1, "not in memory")                                    \
    X(EOF,                                     -1, "ended")                                            \
    X(RESET,                                   -1, "connection reset")                                 \
    X(REFUSED,                                 -1, "connection refused")                               \
    X(TIMEOUT,                                  7, "timed out")                                        \
    X(CANCELED,                                -1, "closed before it finished")                        \
    X(NOMEM,                                   -1, "larger than the memory set aside for it")          \
    X(TRUNCATED,                               42, "ends before it is complete")                       \
    X(MALFORMED,                               42, "does not follow the format")                       \
    X(UNKNOWN_SERVER_ERROR,                    -1, "the server met an error that it did not expect")   \
    X(OFFSET_OUT_OF_RANGE,                      1, "the offset lies outside what the log holds")       \
    X(CORRUPT_MESSAGE,                          2, "checksum, length or format of the data is wrong")  \
    X(UNKNOWN_TOPIC_OR_PARTITION,               3, "no such topic or partition here")                  \
    X(INVALID_FETCH_SIZE,                       4, "the fetch size is invalid")                        \
    X(LEADER_NOT_AVAILABLE,                     5, "the partition has no leader at the moment")        \
    X(NOT_LEADER_OR_FOLLOWER,                   6, "this node is not a replica that may answer")       \
    X(REQUEST_TIMED_OUT,                        7, "the time for the request ran out")                 \
    X(BROKER_NOT_AVAILABLE,                     8, "broker not available")                             \
    X(REPLICA_NOT_AVAILABLE,                    9, "replica not available")                            \
    X(MESSAGE_TOO_LARGE,                       10, "the batch is larger than the limit")               \
    X(STALE_CONTROLLER_EPOCH,                  11, "stale controller epoch")                           \
    X(OFFSET_METADATA_TOO_LARGE,               12, "offset metadata too large")                        \
    X(NETWORK_EXCEPTION,                       13, "network exception")                                \
    X(COORDINATOR_LOAD_IN_PROGRESS,            14, "coordinator load in progress")                     \
    X(COORDINATOR_NOT_AVAILABLE,               15, "coordinator not available")                        \
    X(NOT_COORDINATOR,                         16, "not coordinator")                                  \
    X(INVALID_TOPIC_EXCEPTION,                 17, "invalid topic exception")                          \
    X(RECORD_LIST_TOO_LARGE,                   18, "the batches are larger than a segment")            \
    X(NOT_ENOUGH_REPLICAS,                     19, "not enough replicas")                              \
    X(NOT_ENOUGH_REPLICAS_AFTER_APPEND,        20, "not enough replicas after append")                 \
    X(INVALID_REQUIRED_ACKS,                   21, "invalid required acks")                            \
    X(ILLEGAL_GENERATION,                      22, "illegal generation")                               \
    X(INCONSISTENT_GROUP_PROTOCOL,             23, "inconsistent group protocol")                      \
    X(INVALID_GROUP_ID,                        24, "invalid group id")                                 \
    X(UNKNOWN_MEMBER_ID,                       25, "unknown member id")                                \
    X(INVALID_SESSION_TIMEOUT,                 26, "invalid session timeout")                          \
    X(REBALANCE_IN_PROGRESS,                   27, "rebalance in progress")                            \
    X(INVALID_COMMIT_OFFSET_SIZE,              28, "invalid commit offset size")                       \
    X(TOPIC_AUTHORIZATION_FAILED,              29, "topic authorization failed")                       \
    X(GROUP_AUTHORIZATION_FAILED,              30, "group authorization failed")                       \
    X(CLUSTER_AUTHORIZATION_FAILED,            31, "cluster authorization failed")                     \
    X(INVALID_TIMESTAMP,                       32, "invalid timestamp")                                \
    X(UNSUPPORTED_SASL_MECHANISM,              33, "unsupported sasl mechanism")                       \
    X(ILLEGAL_SASL_STATE,                      34, "illegal sasl state")                               \
    X(UNSUPPORTED_VERSION,                     35, "that version is not supported")                    \
    X(TOPIC_ALREADY_EXISTS,                    36, "topic already exists")                             \
    X(INVALID_PARTITIONS,                      37, "invalid partitions")                               \
    X(INVALID_REPLICATION_FACTOR,              38, "invalid replication factor")                       \
    X(INVALID_REPLICA_ASSIGNMENT,              39, "invalid replica assignment")                       \
    X(INVALID_CONFIG,                          40, "invalid config")                                   \
    X(NOT_CONTROLLER,                          41, "this node is not the active controller")           \
    X(INVALID_REQUEST,                         42, "the request contradicts itself")                   \
    X(UNSUPPORTED_FOR_MESSAGE_FORMAT,          43, "unsupported for message format")                   \
    X(POLICY_VIOLATION,                        44, "policy violation")                                 \
    X(OUT_OF_ORDER_SEQUENCE_NUMBER,            45, "out of order sequence number")                     \
    X(DUPLICATE_SEQUENCE_NUMBER,               46, "duplicate sequence number")                        \
    X(INVALID_PRODUCER_EPOCH,                  47, "invalid producer epoch")                           \
    X(INVALID_TXN_STATE,                       48, "invalid txn state")                                \
    X(INVALID_PRODUCER_ID_MAPPING,             49, "invalid producer id mapping")                      \
    X(INVALID_TRANSACTION_TIMEOUT,             50, "invalid transaction timeout")                      \
    X(CONCURRENT_TRANSACTIONS,                 51, "concurrent transactions")                          \
    X(TRANSACTION_COORDINATOR_FENCED,          52, "transaction coordinator fenced")                   \
    X(TRANSACTIONAL_ID_AUTHORIZATION_FAILED,   53, "transactional id authorization failed")            \
    X(SECURITY_DISABLED,                       54, "security disabled")                                \
    X(OPERATION_NOT_ATTEMPTED,                 55, "operation not attempted")                          \
    X(KAFKA_STORAGE_ERROR,                     56, "the log directory of the replica has failed")      \
    X(LOG_DIR_NOT_FOUND,                       57, "log dir not found")                                \
    X(SASL_AUTHENTICATION_FAILED,              58, "sasl authentication failed")                       \
    X(UNKNOWN_PRODUCER_ID,                     59, "unknown producer id")                              \
    X(REASSIGNMENT_IN_PROGRESS,                60, "reassignment in progress")                         \
    X(DELEGATION_TOKEN_AUTH_DISABLED,          61, "delegation token auth disabled")                   \
    X(DELEGATION_TOKEN_NOT_FOUND,              62, "delegation token not found")                       \
    X(DELEGATION_TOKEN_OWNER_MISMATCH,         63, "delegation token owner mismatch")                  \
    X(DELEGATION_TOKEN_REQUEST_NOT_ALLOWED,    64, "delegation token request not allowed")             \
    X(DELEGATION_TOKEN_AUTHORIZATION_FAILED,   65, "delegation token authorization failed")            \
    X(DELEGATION_TOKEN_EXPIRED,                66, "delegation token expired")                         \
    X(INVALID_PRINCIPAL_TYPE,                  67, "invalid principal type")                           \
    X(NON_EMPTY_GROUP,                         68, "non empty group")                                  \
    X(GROUP_ID_NOT_FOUND,                      69, "group id not found")                               \
    X(FETCH_SESSION_ID_NOT_FOUND,              70, "fetch session id not found")                       \
    X(INVALID_FETCH_SESSION_EPOCH,             71, "invalid fetch session epoch")                      \
    X(LISTENER_NOT_FOUND,                      72, "listener not found")                               \
    X(TOPIC_DELETION_DISABLED,                 73, "topic deletion disabled")                          \
    X(FENCED_LEADER_EPOCH,                     74, "fenced leader epoch")                              \
    X(UNKNOWN_LEADER_EPOCH,                    75, "unknown leader epoch")                             \
    X(UNSUPPORTED_COMPRESSION_TYPE,            76, "unsupported compression type")                     \
    X(STALE_BROKER_EPOCH,                      77, "stale broker epoch")                               \
    X(OFFSET_NOT_AVAILABLE,                    78, "offset not available")                             \
    X(MEMBER_ID_REQUIRED,                      79, "member id required")                               \
    X(PREFERRED_LEADER_NOT_AVAILABLE,          80, "preferred leader not available")                   \
    X(GROUP_MAX_SIZE_REACHED,                  81, "group max size reached")                           \
    X(FENCED_INSTANCE_ID,                      82, "fenced instance id")                               \
    X(ELIGIBLE_LEADERS_NOT_AVAILABLE,          83, "eligible leaders not available")                   \
    X(ELECTION_NOT_NEEDED,                     84, "election not needed")                              \
    X(NO_REASSIGNMENT_IN_PROGRESS,             85, "no reassignment in progress")                      \
    X(GROUP_SUBSCRIBED_TO_TOPIC,               86, "group subscribed to topic")                        \
    X(INVALID_RECORD,                          87, "invalid record")                                   \
    X(UNSTABLE_OFFSET_COMMIT,                  88, "unstable offset commit")                           \
    X(THROTTLING_QUOTA_EXCEEDED,               89, "throttling quota exceeded")                        \
    X(PRODUCER_FENCED,                         90, "producer fenced")                                  \
    X(RESOURCE_NOT_FOUND,                      91, "resource not found")                               \
    X(DUPLICATE_RESOURCE,                      92, "duplicate resource")                               \
    X(UNACCEPTABLE_CREDENTIAL,                 93, "unacceptable credential")                          \
    X(INCONSISTENT_VOTER_SET,                  94, "inconsistent voter set")                           \
    X(INVALID_UPDATE_VERSION,                  95, "invalid update version")                           \
    X(FEATURE_UPDATE_FAILED,                   96, "feature update failed")                            \
    X(PRINCIPAL_DESERIALIZATION_FAILURE,       97, "principal deserialization failure")                \
    X(SNAPSHOT_NOT_FOUND,                      98, "snapshot not found")                               \
    X(POSITION_OUT_OF_RANGE,                   99, "position out of range")                            \
    X(UNKNOWN_TOPIC_ID,                       100, "unknown topic id")                                 \
    X(DUPLICATE_BROKER_REGISTRATION,          101, "duplicate broker registration")                    \
    X(BROKER_ID_NOT_REGISTERED,               102, "broker id not registered")                         \
    X(INCONSISTENT_TOPIC_ID,                  103, "inconsistent topic id")                            \
    X(INCONSISTENT_CLUSTER_ID,                104, "inconsistent cluster id")                          \
    X(TRANSACTIONAL_ID_NOT_FOUND,             105, "transactional id not found")                       \
    X(FETCH_SESSION_TOPIC_ID_ERROR,           106, "fetch session topic id error")                     \
    X(INELIGIBLE_REPLICA,                     107, "ineligible replica")                               \
    X(NEW_LEADER_ELECTED,                     108, "new leader elected")                               \
    X(OFFSET_MOVED_TO_TIERED_STORAGE,         109, "offset moved to tiered storage")                   \
    X(FENCED_MEMBER_EPOCH,                    110, "fenced member epoch")                              \
    X(UNRELEASED_INSTANCE_ID,                 111, "unreleased instance id")                           \
    X(UNSUPPORTED_ASSIGNOR,                   112, "unsupported assignor")                             \
    X(STALE_MEMBER_EPOCH,                     113, "stale member epoch")                               \
    X(MISMATCHED_ENDPOINT_TYPE,               114, "mismatched endpoint type")                         \
    X(UNSUPPORTED_ENDPOINT_TYPE,              115, "unsupported endpoint type")                        \
    X(UNKNOWN_CONTROLLER_ID,                  116, "unknown controller id")                            \
    X(UNKNOWN_SUBSCRIPTION_ID,                117, "unknown subscription id")                          \
    X(TELEMETRY_TOO_LARGE,                    118, "telemetry too large")                              \
    X(INVALID_REGISTRATION,                   119, "invalid registration")                             \
    X(TRANSACTION_ABORTABLE,                  120, "transaction abortable")                            \
    X(INVALID_RECORD_STATE,                   121, "invalid record state")                             \
    X(SHARE_SESSION_NOT_FOUND,                122, "share session not found")                          \
    X(INVALID_SHARE_SESSION_EPOCH,            123, "invalid share session epoch")                      \
    X(FENCED_STATE_EPOCH,                     124, "fenced state epoch")                               \
    X(INVALID_VOTER_KEY,                      125, "invalid voter key")                                \
    X(DUPLICATE_VOTER,                        126, "duplicate voter")                                  \
    X(VOTER_NOT_FOUND,                        127, "voter not found")                                  \
    X(INVALID_REGULAR_EXPRESSION,             128, "invalid regular expression")                       \
    X(REBOOTSTRAP_REQUIRED,                   129, "rebootstrap required")                             \
    X(STREAMS_INVALID_TOPOLOGY,               130, "streams invalid topology")                         \
    X(STREAMS_INVALID_TOPOLOGY_EPOCH,         131, "streams invalid topology epoch")                   \
    X(STREAMS_TOPOLOGY_FENCED,                132, "streams topology fenced")                          \
    X(SHARE_SESSION_LIMIT_REACHED,            133, "share session limit reached")
/* clang-format on */

/* clang refuses an ignored `enum err` (make tidy asks it to); gcc knows the attribute on functions only. */
#ifdef __clang__
#define ERR_USED __attribute__((warn_unused_result))
#else
#define ERR_USED
#endif

enum ERR_USED err {
#define ERR_ENUM(name, wire, text) E_##name,
    ERR_MAP(ERR_ENUM)
#undef ERR_ENUM
        ERR_COUNT
};

int16_t err_wire(enum err err);          /* Kafka's code */
enum err err_of_wire(int16_t wire);      /* E_UNKNOWN_SERVER_ERROR for a code that nobody knows */
const char *err_name(enum err err);      /* "NOT_CONTROLLER" */
const char *err_wire_name(int16_t wire); /* "NONE" for 0 */
const char *err_text(enum err err);      /* a clause, without a full stop */
