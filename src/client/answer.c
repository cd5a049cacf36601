/* See answer.h. */
#include "client/answer.h"

#include <jansson.h>

static void json_cleanup(json_t **json) {
    json_decref(*json);
}
#define CLEANUP_JSON __attribute__((cleanup(json_cleanup)))

static json_t *parse(struct bb_view json) {
    return json_loadb((const char *)json.data, json.len, JSON_REJECT_DUPLICATES, NULL);
}

enum bb_err bb_client_answer_text(struct bb_view json, struct bb_buf *out) {
    json_t *root CLEANUP_JSON = parse(json);
    const json_t *text = json_object_get(root, "text");
    if (!json_is_string(text))
        return BB_ERR_HTTP_FORM;
    return bb_buf_append(out, json_string_value(text), json_string_length(text));
}

enum bb_err bb_client_answer_error(struct bb_view json, struct bb_buf *out) {
    json_t *root CLEANUP_JSON = parse(json);
    const json_t *error = json_object_get(root, "error");
    const json_t *sentence = json_is_object(error) ? json_object_get(error, "message") : error;
    if (sentence == NULL)
        sentence = json_object_get(root, "detail");
    if (!json_is_string(sentence))
        return BB_ERR_NOT_FOUND;
    return bb_buf_append(out, json_string_value(sentence), json_string_length(sentence));
}
