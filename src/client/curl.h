/* libcurl for src/client: one include, one start for each process. */
#ifndef BB_CLIENT_CURL_H
#define BB_CLIENT_CURL_H

/* libcurl's type checks are macros of some fifty branches; gcc looks at them, clang's tools count them as
 * ours. */
#ifdef __clang__
#define CURL_DISABLE_TYPECHECK
#endif
#include <curl/curl.h>

#include <blindbox/error.h>

/* A handle that takes nothing from the environment: no proxy, no .netrc. NULL: out of memory. */
CURL *bb_client_curl_new(void);
/* The same for a handle whose options were reset. */
CURLcode bb_client_curl_constants(CURL *curl);
/* libcurl's result in our words; BB_ERR_PROTOCOL for those that have none. */
enum bb_err bb_client_curl_err(CURLcode code);

#endif
