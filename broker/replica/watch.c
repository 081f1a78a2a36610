#include "base/check.h"
#include "manager.h"

void watcher_init(struct watcher *w, struct loop *back, void (*woken)(struct msg *))
{
    list_init(&w->watches);
    list_init(&w->ready);
    w->back = back;
    w->wake.run = woken;
}

void watcher_add(struct watcher *w, struct watch *watch, struct partition *p)
{
    watch->watcher = w;
    list_add(&p->watchers, &watch->link);
    list_add(&w->watches, &watch->mine);
}

void watcher_clear(struct watcher *w)
{
    list_each_safe (it, &w->watches) {
        struct watch *watch = container_of(it, struct watch, mine);
        list_remove(&watch->link);
        list_remove(&watch->mine);
    }
}

/* Once told, a watcher watches nothing: its loop comes back and looks anew. */
static void watcher_tell(struct watcher *w)
{
    watcher_clear(w);
    w->told++;
    loop_post(w->back, &w->wake);
}

void partition_tell(struct partition *p, int64_t bytes)
{
    struct list ready;

    list_init(&ready);
    list_each (it, &p->watchers) {
        struct watcher *w = container_of(it, struct watch, link)->watcher;
        w->need -= bytes;
        if (w->need <= 0 && list_empty(&w->ready))
            list_add(&ready, &w->ready);
    }
    list_each_safe (it, &ready) {
        list_remove(it);
        watcher_tell(container_of(it, struct watcher, ready));
    }
}
