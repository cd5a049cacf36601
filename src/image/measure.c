/* See measure.h. */
#include "image/measure.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/hex.h"

#define PIECE_LEN 65536u

/* The three measured strings grow together: each file belongs to PCR0 and to one of PCR1 and PCR2. */
#define HASH_COUNT 3u
struct hashes {
    struct bb_hash *of[HASH_COUNT];
};

static void hashes_done(struct hashes *hashes) {
    for (size_t i = 0; i < HASH_COUNT; i++)
        bb_hash_free(hashes->of[i]);
}

static enum bb_err hashes_init(struct hashes *hashes) {
    for (size_t i = 0; i < HASH_COUNT; i++) {
        enum bb_err err = bb_hash_new(BB_SHA384, &hashes->of[i]);
        if (err != BB_OK)
            return err;
    }
    return BB_OK;
}

static enum bb_err add(struct hashes *hashes, size_t pcr, struct bb_view bytes) {
    enum bb_err err = bb_hash_update(hashes->of[0], bytes);
    return err == BB_OK ? bb_hash_update(hashes->of[pcr], bytes) : err;
}

static enum bb_err add_length(struct hashes *hashes, size_t pcr, uint64_t len) {
    uint8_t head[8];
    for (size_t i = 0; i < sizeof head; i++)
        head[i] = (uint8_t)(len >> (56 - 8 * i));
    return add(hashes, pcr, bb_view(head, sizeof head));
}

/* The whole content, which must be len bytes long. */
static enum bb_err add_content(struct hashes *hashes, size_t pcr, int fd, uint64_t len) {
    uint8_t *piece BB_CLEANUP_FREE = malloc(PIECE_LEN);
    if (piece == NULL)
        return BB_ERR_NO_MEMORY;
    for (;;) {
        ssize_t n = read(fd, piece, PIECE_LEN);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || (uint64_t)n > len)
            return BB_ERR_IO;
        if (n == 0)
            return len == 0 ? BB_OK : BB_ERR_IO;
        len -= (uint64_t)n;
        enum bb_err err = add(hashes, pcr, bb_view(piece, (size_t)n));
        if (err != BB_OK)
            return err;
    }
}

static enum bb_err add_file(struct hashes *hashes, size_t pcr, const char *path) {
    int fd BB_CLEANUP_FD = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? BB_ERR_NOT_FOUND : BB_ERR_IO;
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        return BB_ERR_IO;
    enum bb_err err = add_length(hashes, pcr, (uint64_t)status.st_size);
    return err == BB_OK ? add_content(hashes, pcr, fd, (uint64_t)status.st_size) : err;
}

static enum bb_err add_files(struct hashes *hashes, size_t pcr, const char *const *paths, size_t count) {
    enum bb_err err = BB_OK;
    for (size_t i = 0; err == BB_OK && i < count; i++)
        err = add_file(hashes, pcr, paths[i]);
    return err;
}

enum bb_err bb_measure_process(const char *const *runtime, size_t runtime_count, const char *const *service,
                               size_t service_count, struct bb_measurements *out) {
    struct hashes hashes __attribute__((cleanup(hashes_done))) = {0};
    struct bb_measurements made = *out;
    enum bb_err err = hashes_init(&hashes);
    if (err == BB_OK)
        err = add_files(&hashes, 1, runtime, runtime_count);
    if (err == BB_OK)
        err = add_files(&hashes, 2, service, service_count);
    for (unsigned i = 0; err == BB_OK && i < HASH_COUNT; i++) {
        uint8_t digest[BB_SHA384_LEN];
        err = bb_hash_final(hashes.of[i], digest);
        if (err == BB_OK)
            err = bb_measure_register(&made, i, bb_view(digest, sizeof digest));
    }
    if (err == BB_OK)
        *out = made;
    return err;
}

enum bb_err bb_measure_register(struct bb_measurements *measurements, unsigned index, struct bb_view data) {
    if (index >= BB_MEASURE_PCR_COUNT)
        return BB_ERR_ARGUMENT;
    uint8_t value[BB_SHA384_LEN] = {0};
    enum bb_err err = bb_pcr_extend(value, data);
    if (err != BB_OK)
        return err;
    memcpy(measurements->pcr[index], value, sizeof value);
    measurements->present |= UINT32_C(1) << index;
    return BB_OK;
}

/* {"HashAlgorithm":…,"PCR0":…}; NULL when out of memory. */
static json_t *inner_object(const struct bb_measurements *measurements) {
    json_t *object = json_object();
    bool good = json_object_set_new(object, "HashAlgorithm", json_string("Sha384 { ... }")) == 0;
    for (unsigned i = 0; good && i < BB_MEASURE_PCR_COUNT; i++) {
        if ((measurements->present & UINT32_C(1) << i) == 0)
            continue;
        char key[8];
        char hex[2 * BB_SHA384_LEN + 1];
        snprintf(key, sizeof key, "PCR%u", i);
        bb_hex_encode(bb_view(measurements->pcr[i], BB_SHA384_LEN), hex);
        good = json_object_set_new(object, key, json_string(hex)) == 0;
    }
    if (good)
        return object;
    json_decref(object);
    return NULL;
}

enum bb_err bb_measurements_to_json(const struct bb_measurements *measurements, struct bb_buf *out) {
    json_t *root = json_pack("{s:o}", "Measurements", inner_object(measurements));
    if (root == NULL)
        return BB_ERR_NO_MEMORY;
    char *text = json_dumps(root, JSON_INDENT(2));
    json_decref(root);
    if (text == NULL)
        return BB_ERR_NO_MEMORY;
    enum bb_err err = bb_buf_printf(out, "%s\n", text);
    free(text);
    return err;
}
