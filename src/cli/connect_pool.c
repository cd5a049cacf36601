/* See connect_pool.h. */
#include "cli/connect_pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

struct ready {
    struct bb_tunnel *tunnel;
    int64_t since_ms;
};

struct bb_connect_pool {
    const char *address;
    const struct bb_policy *policy;
    pthread_t thread;
    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t taken;
    struct ready ready[BB_CONNECT_READY]; /* the oldest first */
    size_t count;
    int64_t wanted_until_ms; /* ready ones are made while requests come, and for a while after */
    bool failing;            /* the latest attempt failed: none are made until a request succeeds */
    bool stopping;
};

static enum bb_err make(const struct bb_connect_pool *pool, struct bb_tunnel **tunnel) {
    *tunnel = NULL;
    enum bb_err err = bb_tunnel_new(pool->address, pool->policy, tunnel);
    return err == BB_OK ? bb_tunnel_connect(*tunnel) : err;
}

/* Takes the i-th out. The caller holds the lock. */
static struct bb_tunnel *take_out(struct bb_connect_pool *pool, size_t i) {
    struct bb_tunnel *tunnel = pool->ready[i].tunnel;
    pool->count--;
    for (; i < pool->count; i++)
        pool->ready[i] = pool->ready[i + 1];
    return tunnel;
}

/* One that is of no use any more, or NULL. The caller holds the lock. */
static struct bb_tunnel *take_spent(struct bb_connect_pool *pool, int64_t now_ms) {
    for (size_t i = 0; i < pool->count; i++)
        if (now_ms - pool->ready[i].since_ms >= BB_CONNECT_IDLE_MS ||
            !bb_tunnel_is_ready(pool->ready[i].tunnel))
            return take_out(pool, i);
    return NULL;
}

static void put(struct bb_connect_pool *pool, struct bb_tunnel *tunnel) {
    pool->ready[pool->count++] = (struct ready){.tunnel = tunnel, .since_ms = bb_clock_monotonic_ms()};
}

/* Up to a second, or until one is taken. The caller holds the lock. */
static void rest(struct bb_connect_pool *pool) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    (void)pthread_cond_timedwait(&pool->taken, &pool->lock, &until);
}

static void refill(struct bb_connect_pool *pool) {
    struct bb_tunnel *made;
    pthread_mutex_unlock(&pool->lock);
    enum bb_err err = make(pool, &made);
    pthread_mutex_lock(&pool->lock);
    pool->failing = err != BB_OK;
    if (err == BB_OK && pool->count < BB_CONNECT_READY) {
        put(pool, made);
        return;
    }
    pthread_mutex_unlock(&pool->lock);
    bb_tunnel_free(made);
    pthread_mutex_lock(&pool->lock);
}

static void *keep_ready(void *pointer) {
    struct bb_connect_pool *pool = pointer;
    pthread_mutex_lock(&pool->lock);
    while (!pool->stopping) {
        int64_t now_ms = bb_clock_monotonic_ms();
        struct bb_tunnel *spent = take_spent(pool, now_ms);
        if (spent != NULL)
            bb_tunnel_free(spent); /* not connected to anyone who could make it wait */
        else if (!pool->failing && pool->count < BB_CONNECT_READY && now_ms < pool->wanted_until_ms)
            refill(pool);
        else
            rest(pool);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

struct bb_connect_pool *bb_connect_pool_new(const char *address, const struct bb_policy *policy) {
    struct bb_connect_pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        return NULL;
    pool->address = address;
    pool->policy = policy;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->taken, NULL);
    if (pthread_create(&pool->thread, NULL, keep_ready, pool) == 0)
        return pool;
    free(pool);
    return NULL;
}

void bb_connect_pool_free(struct bb_connect_pool *pool) {
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_signal(&pool->taken);
    pthread_mutex_unlock(&pool->lock);
    pthread_join(pool->thread, NULL);
    while (pool->count > 0)
        bb_tunnel_free(take_out(pool, 0));
    pthread_cond_destroy(&pool->taken);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

static struct bb_tunnel *take_ready(struct bb_connect_pool *pool) {
    struct bb_tunnel *found = NULL;
    pthread_mutex_lock(&pool->lock);
    while (found == NULL && pool->count > 0) {
        struct bb_tunnel *oldest = take_out(pool, 0);
        if (bb_tunnel_is_ready(oldest))
            found = oldest;
        else
            bb_tunnel_free(oldest);
    }
    pool->wanted_until_ms = bb_clock_monotonic_ms() + BB_CONNECT_IDLE_MS;
    pthread_cond_signal(&pool->taken);
    pthread_mutex_unlock(&pool->lock);
    return found;
}

enum bb_err bb_connect_pool_take(struct bb_connect_pool *pool, struct bb_tunnel **tunnel) {
    *tunnel = take_ready(pool);
    if (*tunnel != NULL)
        return BB_OK;
    enum bb_err err = make(pool, tunnel);
    pthread_mutex_lock(&pool->lock);
    pool->failing = err != BB_OK;
    pthread_mutex_unlock(&pool->lock);
    return err;
}
