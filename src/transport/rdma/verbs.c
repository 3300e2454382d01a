#include "transport/rdma/verbs.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/fail.h"
#include "base/symbols.h"

#define LIBRARY "libibverbs.so.1"

static const struct pccl_symbol entries[] = {
	{"ibv_fork_init", offsetof(struct pccl_verbs, fork_init)},
	{"ibv_get_device_list", offsetof(struct pccl_verbs, get_device_list)},
	{"ibv_free_device_list", offsetof(struct pccl_verbs, free_device_list)},
	{"ibv_get_device_name", offsetof(struct pccl_verbs, get_device_name)},
	{"ibv_open_device", offsetof(struct pccl_verbs, open_device)},
	{"ibv_close_device", offsetof(struct pccl_verbs, close_device)},
	{"ibv_query_device", offsetof(struct pccl_verbs, query_device)},
	{"ibv_query_port", offsetof(struct pccl_verbs, query_port)},
	{"_ibv_query_gid_ex", offsetof(struct pccl_verbs, query_gid_ex)},
	{"ibv_alloc_pd", offsetof(struct pccl_verbs, alloc_pd)},
	{"ibv_dealloc_pd", offsetof(struct pccl_verbs, dealloc_pd)},
	{"ibv_reg_mr", offsetof(struct pccl_verbs, reg_mr)},
	{"ibv_dereg_mr", offsetof(struct pccl_verbs, dereg_mr)},
	{"ibv_create_comp_channel", offsetof(struct pccl_verbs, create_comp_channel)},
	{"ibv_destroy_comp_channel", offsetof(struct pccl_verbs, destroy_comp_channel)},
	{"ibv_create_cq", offsetof(struct pccl_verbs, create_cq)},
	{"ibv_destroy_cq", offsetof(struct pccl_verbs, destroy_cq)},
	{"ibv_get_cq_event", offsetof(struct pccl_verbs, get_cq_event)},
	{"ibv_ack_cq_events", offsetof(struct pccl_verbs, ack_cq_events)},
	{"ibv_create_qp", offsetof(struct pccl_verbs, create_qp)},
	{"ibv_modify_qp", offsetof(struct pccl_verbs, modify_qp)},
	{"ibv_destroy_qp", offsetof(struct pccl_verbs, destroy_qp)},
	{"ibv_wc_status_str", offsetof(struct pccl_verbs, wc_status_str)},
};

/* Under the lock until it is loaded, and never changed afterwards. */
static struct pccl_verbs verbs;
static bool loaded;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Whoever may be loading it is not in the child. */
static void in_child(void)
{
	const pthread_mutex_t unlocked = PTHREAD_MUTEX_INITIALIZER;

	lock = unlocked;
}

static __attribute__((constructor)) void watch_forks(void)
{
	(void)pthread_atfork(NULL, NULL, in_child);
}

static pcclResult_t look_up(void *library)
{
	const char *missing = pccl_symbols_find(library, entries, sizeof(entries) / sizeof(*entries), &verbs);

	if (missing != NULL)
		return pccl_fail(pcclSystemError, LIBRARY " is too old: it has no %s", missing);
	return pcclSuccess;
}

static pcclResult_t load(void)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	pcclResult_t result;

	if (library == NULL)
		return pccl_fail(pcclSystemError, LIBRARY " can't be loaded: %s", dlerror());
	result = look_up(library);
	if (result != pcclSuccess)
		(void)dlclose(library);
	else
		(void)verbs.fork_init(); /* what kernels need that don't copy pinned pages for children; else nothing */
	return result;
}

pcclResult_t pccl_verbs_load(const struct pccl_verbs **verbs_out)
{
	pcclResult_t result = pcclSuccess;

	pthread_mutex_lock(&lock);
	if (!loaded)
		result = load();
	loaded = result == pcclSuccess;
	pthread_mutex_unlock(&lock);
	*verbs_out = &verbs;
	return result;
}
