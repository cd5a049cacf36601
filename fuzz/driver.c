/*
 * Runs a fuzz target without libFuzzer: TARGET [-m MUTATIONS] [-s SEED] [-k FILE] FILE|FOLDER…
 *
 * Every file is an input as it is, and then MUTATIONS times with a few bytes changed, moved, inserted or cut,
 * the same ones for the same seed. -k keeps the input under test in FILE, so that it is there when the target
 * dies. Prints how many inputs were run; exits 1 when there was none.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "target.h"

#define INPUT_MAX 65536u

struct driver {
    unsigned long mutations, runs;
    uint64_t random;
    int keep_fd;
    uint8_t *input; /* INPUT_MAX bytes, mapped from the kept file when there is one */
};

/* xorshift64 (Marsaglia 2003): any sequence will do, as long as it is the same next time. */
static size_t pick(struct driver *driver, size_t below) {
    driver->random ^= driver->random << 13;
    driver->random ^= driver->random >> 7;
    driver->random ^= driver->random << 17;
    return (size_t)(driver->random % below);
}

/* The values that break parsers. */
static const uint8_t edges[] = {0x00, 0x01, 0x17, 0x18, 0x1f, 0x5f, 0x7f, 0x80,
                                0x9f, 0xbf, 0xf6, 0xff, '\r', '\n', '-'};

static size_t mutate_once(struct driver *driver, size_t len) {
    uint8_t *input = driver->input;
    if (len == 0) {
        input[0] = (uint8_t)pick(driver, 256);
        return 1;
    }
    size_t at = pick(driver, len), count = 1 + pick(driver, 8), other;
    switch (pick(driver, 6)) {
    case 0:
        input[at] ^= (uint8_t)(1u << pick(driver, 8));
        return len;
    case 1:
        input[at] = edges[pick(driver, sizeof edges)];
        return len;
    case 2:
        input[at] = (uint8_t)(input[at] + pick(driver, 9) - 4);
        return len;
    case 3: /* cut out */
        count = count < len - at ? count : len - at;
        memmove(input + at, input + at + count, len - at - count);
        return len - count;
    case 4: /* insert what is elsewhere */
        count = count < INPUT_MAX - len ? count : INPUT_MAX - len;
        count = count < len - at ? count : len - at;
        other = pick(driver, len - count + 1);
        memmove(input + at + count, input + at, len - at);
        memmove(input + at, input + other, count);
        return len + count;
    default:
        return pick(driver, 16) == 0 ? at : len; /* cut off */
    }
}

/* At the end of a heap block of its very size, so that the sanitizer sees a read past it. */
static void run_one(struct driver *driver, size_t len) {
    uint8_t *copy = malloc(len > 0 ? len : 1);
    PROMISE(copy != NULL);
    memcpy(copy, driver->input, len);
    if (driver->keep_fd >= 0)
        PROMISE(ftruncate(driver->keep_fd, (off_t)len) == 0);
    LLVMFuzzerTestOneInput(copy, len);
    if (driver->keep_fd >= 0)
        PROMISE(ftruncate(driver->keep_fd, INPUT_MAX) == 0);
    free(copy);
    driver->runs++;
}

static void run_file(struct driver *driver, const char *path) {
    struct bb_buf file BB_CLEANUP_BUF = BB_BUF_INIT(INPUT_MAX);
    if (bb_file_read(path, &file) != BB_OK) {
        fprintf(stderr, "%s: cannot be read, or is longer than %u bytes\n", path, INPUT_MAX);
        exit(1);
    }
    for (unsigned long i = 0; i <= driver->mutations; i++) {
        size_t len = file.len;
        if (len > 0)
            memcpy(driver->input, file.data, len);
        for (size_t changes = i == 0 ? 0 : 1 + pick(driver, 4); changes > 0; changes--)
            len = mutate_once(driver, len);
        run_one(driver, len);
    }
}

static void run_folder(struct driver *driver, const char *path) {
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0) {
        run_file(driver, path);
        return;
    }
    for (int i = 0; i < count; i++) {
        char file[4096];
        snprintf(file, sizeof file, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.')
            run_file(driver, file);
        free(entries[i]);
    }
    free(entries);
}

static void map_input(struct driver *driver, const char *keep) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    if (keep != NULL) {
        driver->keep_fd = open(keep, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        PROMISE(driver->keep_fd >= 0 && ftruncate(driver->keep_fd, INPUT_MAX) == 0);
        flags = MAP_SHARED;
    }
    driver->input = mmap(NULL, INPUT_MAX, PROT_READ | PROT_WRITE, flags, driver->keep_fd, 0);
    PROMISE(driver->input != MAP_FAILED);
}

int main(int argc, char **argv) {
    struct driver driver = {.random = 1, .keep_fd = -1};
    const char *keep = NULL;
    int letter;
    while ((letter = getopt(argc, argv, "m:s:k:")) != -1) {
        if (letter == 'm')
            driver.mutations = strtoul(optarg, NULL, 10);
        else if (letter == 's')
            driver.random = strtoul(optarg, NULL, 10) | 1;
        else if (letter == 'k')
            keep = optarg;
        else
            return 2;
    }
    map_input(&driver, keep);
    for (int i = optind; i < argc; i++)
        run_folder(&driver, argv[i]);
    if (keep != NULL)
        unlink(keep);
    printf("%lu inputs\n", driver.runs);
    return driver.runs > 0 ? 0 : 1;
}
