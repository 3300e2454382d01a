/* The shell around the master machine: one thread, one listening port, a channel per peer. */
#include "comm/master_server_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/time.h"
#include "comm/protection.h"
#include "comm/thread.h"
#include "comm/variables.h"
#include "transport/loop/fork.h"

static void timer_fired(struct pccl_timer *timer)
{
	struct pccl_master_event event = {.type = PCCL_MASTER_TICK};

	pccl_master_server_step(timer->context, &event);
}

/* There is a new list, or there are new credentials. */
static void run_reread(struct pccl_task *task)
{
	pcclMasterInstance_t *instance = task->context;
	struct pccl_wires *fresh;

	pthread_mutex_lock(&instance->lock);
	if (instance->changes_list) {
		pccl_allowed_destroy(instance->allowed);
		instance->allowed = instance->coming;
	}
	fresh = instance->fresh;
	instance->fresh = NULL;
	instance->coming = NULL;
	instance->changes_list = instance->rereads = false;
	pthread_mutex_unlock(&instance->lock);
	if (fresh != NULL)
		pccl_wires_renew(instance->wires, fresh);
	pccl_master_server_examine(instance);
}

static void *run(void *context)
{
	pcclMasterInstance_t *instance = context;

	pccl_loop_run(instance->loop);
	pccl_loop_timer_clear(instance->loop, &instance->timer);
	pccl_master_server_hang_up(instance);
	pccl_doorman_destroy(instance->doorman);
	instance->doorman = NULL;
	return NULL;
}

pcclResult_t pccl_master_server_create(const ccoip_socket_address_t *listen_address,
				       pcclMasterInstance_t **instance_out)
{
	pcclMasterInstance_t *instance;
	pcclResult_t result;

	pccl_variables_check();
	instance = pccl_zalloc(sizeof(*instance));
	if (instance == NULL)
		return pcclOutOfMemory;
	result = pccl_address_from_ccoip(listen_address, &instance->address);
	if (result != pcclSuccess) {
		pccl_free(instance);
		return result;
	}
	instance->generation = pccl_fork_generation();
	pthread_mutex_init(&instance->lock, NULL);
	pthread_mutex_init(&instance->joining, NULL);
	pthread_cond_init(&instance->answered, NULL);
	instance->timer.fire = timer_fired;
	instance->timer.context = instance;
	instance->reread.run = run_reread;
	instance->reread.context = instance;
	*instance_out = instance;
	return pcclSuccess;
}

static pcclResult_t take_keys(pcclMasterInstance_t *instance)
{
	const struct pccl_key_pair *given = pccl_wires_identity(instance->wires);
	struct pccl_key_pair *keys = &instance->keys;

	if (given != NULL) {
		*keys = *given;
		return pcclSuccess;
	}
	if (getrandom(keys->seed, sizeof(keys->seed), 0) != (ssize_t)sizeof(keys->seed))
		return pccl_fail(pcclSystemError, "cannot get random bytes for the master's key: %s", strerror(errno));
	return pccl_key_make(keys);
}

static pcclResult_t fail_unprotected(void)
{
	return pccl_fail(pcclInvalidUsage, "a list of who may join needs a join secret or certificates: on plain "
					   "connections nobody can prove who it is");
}

static pcclResult_t start(pcclMasterInstance_t *instance)
{
	struct pccl_master_config config = {.heartbeat_interval_ns = PCCL_SECOND_NS / 2,
					    .heartbeat_timeout_ns = 3 * PCCL_SECOND_NS,
					    .complaint_window_ns = PCCL_SECOND_NS / 10,
					    .return_grace_ns = 2 * PCCL_SECOND_NS};
	uint16_t port = pccl_address_port(&instance->address);
	pcclResult_t result;

	if (port == 0)
		return pccl_fail(pcclInvalidUsage, "the master needs a port to listen on: 0 is none");
	if (getrandom(config.uuid.data, sizeof(config.uuid.data), 0) != (ssize_t)sizeof(config.uuid.data))
		return pccl_fail(pcclSystemError, "cannot get random bytes for the master's uuid: %s", strerror(errno));
	if (instance->wires == NULL && pccl_protection_open(NULL, &instance->wires) != pcclSuccess)
		return pccl_fail(pcclInvalidUsage, "%s", pccl_fail_text());
	if (instance->allowed != NULL && !pccl_wires_are_protected(instance->wires))
		return fail_unprotected();
	config.sealer = pccl_sealing_open(&instance->sealing, instance->wires);
	result = take_keys(instance);
	if (result == pcclSuccess)
		result = pccl_loop_create(&instance->loop);
	if (result != pcclSuccess)
		return result;
	result = pccl_master_create(&config, &instance->master);
	if (result != pcclSuccess)
		goto fail_master;
	result = pccl_doorman_create(instance->loop, pccl_wire_for(instance->wires, &instance->address),
				     &instance->address, port, PCCL_HELLO_TIMEOUT_NS, pccl_master_server_arrived,
				     instance, &instance->doorman);
	if (result != pcclSuccess)
		goto fail_listen;
	result = pccl_thread_start(&instance->thread, "pccl-master", run, instance);
	if (result != pcclSuccess)
		goto fail_thread;
	return pcclSuccess;
fail_thread:
	pccl_doorman_destroy(instance->doorman);
	instance->doorman = NULL;
fail_listen:
	pccl_master_destroy(instance->master);
	instance->master = NULL;
fail_master:
	pccl_loop_destroy(instance->loop);
	instance->loop = NULL;
	return result;
}

bool pccl_master_server_is_inherited(const pcclMasterInstance_t *instance)
{
	return instance->generation != pccl_fork_generation();
}

/* Under the lock: for the thread that serves. */
static void have_reread(pcclMasterInstance_t *instance)
{
	if (!instance->rereads)
		pccl_loop_post(instance->loop, &instance->reread);
	instance->rereads = true;
}

/* Under the lock, of a master that runs. Takes the wires over, or leaves them. */
static pcclResult_t renew(pcclMasterInstance_t *instance, struct pccl_wires *wires)
{
	if (!pccl_wires_are_protected(instance->wires) || !pccl_wires_are_protected(wires))
		return pccl_fail(pcclInvalidUsage,
				 "the master runs already: its secret or certificates may change, and not whether it "
				 "has any");
	pccl_wires_destroy(instance->fresh);
	instance->fresh = wires;
	have_reread(instance);
	return pcclSuccess;
}

pcclResult_t pccl_master_server_protect(pcclMasterInstance_t *instance, const pcclSecurity_t *security)
{
	struct pccl_wires *wires;
	pcclResult_t result;
	bool ran;

	pthread_mutex_lock(&instance->lock);
	ran = instance->ran;
	pthread_mutex_unlock(&instance->lock);
	result = ran ? pccl_protection_reopen(security, &wires) : pccl_protection_open(security, &wires);
	if (result != pcclSuccess)
		return result;
	pthread_mutex_lock(&instance->lock);
	if (instance->ran) {
		result = renew(instance, wires);
	} else {
		pccl_wires_destroy(instance->wires);
		instance->wires = wires;
	}
	pthread_mutex_unlock(&instance->lock);
	if (result != pcclSuccess)
		pccl_wires_destroy(wires);
	return result;
}

/* Under the lock. Takes the list over, or leaves it. */
static pcclResult_t hand_over(pcclMasterInstance_t *instance, struct pccl_allowed *allowed)
{
	if (!instance->ran) {
		pccl_allowed_destroy(instance->allowed);
		instance->allowed = allowed;
		return pcclSuccess;
	}
	if (allowed != NULL && !pccl_wires_are_protected(instance->wires))
		return fail_unprotected();
	pccl_allowed_destroy(instance->coming);
	instance->coming = allowed;
	instance->changes_list = true;
	have_reread(instance);
	return pcclSuccess;
}

pcclResult_t pccl_master_server_allow(pcclMasterInstance_t *instance, const char *path)
{
	struct pccl_allowed *allowed = NULL;
	pcclResult_t result = path != NULL ? pccl_allowed_read(path, &allowed) : pcclSuccess;

	if (result != pcclSuccess)
		return result;
	pthread_mutex_lock(&instance->lock);
	result = hand_over(instance, allowed);
	pthread_mutex_unlock(&instance->lock);
	if (result != pcclSuccess)
		pccl_allowed_destroy(allowed);
	return result;
}

pcclResult_t pccl_master_server_run(pcclMasterInstance_t *instance)
{
	pcclResult_t result;

	pthread_mutex_lock(&instance->lock);
	if (instance->ran) {
		result = pccl_fail(pcclInvalidUsage, "the master runs already, or has run: create another");
	} else {
		result = start(instance);
		instance->ran = result == pcclSuccess;
		if (result != pcclSuccess && result != pcclOutOfMemory)
			result = pcclInvalidUsage;
	}
	pthread_mutex_unlock(&instance->lock);
	return result;
}

pcclResult_t pccl_master_server_interrupt(pcclMasterInstance_t *instance)
{
	pcclResult_t result = pcclSuccess;

	pthread_mutex_lock(&instance->lock);
	if (!instance->ran)
		result = pccl_fail(pcclInvalidUsage, "the master never ran");
	else if (!instance->interrupted)
		pccl_loop_stop(instance->loop);
	instance->interrupted = instance->ran;
	pthread_mutex_unlock(&instance->lock);
	return result;
}

pcclResult_t pccl_master_server_await(pcclMasterInstance_t *instance)
{
	bool ran;

	pthread_mutex_lock(&instance->lock);
	ran = instance->ran;
	pthread_mutex_unlock(&instance->lock);
	if (!ran)
		return pccl_fail(pcclInvalidUsage, "the master never ran");
	pthread_mutex_lock(&instance->joining); /* others wait for who was first */
	if (!instance->joined)
		pthread_join(instance->thread, NULL);
	instance->joined = true;
	pthread_mutex_unlock(&instance->joining);
	return pcclSuccess;
}

void pccl_master_server_destroy(pcclMasterInstance_t *instance)
{
	if (instance->ran) {
		(void)pccl_master_server_interrupt(instance);
		(void)pccl_master_server_await(instance);
		pccl_master_destroy(instance->master);
		pccl_loop_destroy(instance->loop);
	}
	pccl_wires_destroy(instance->fresh);
	pccl_allowed_destroy(instance->coming);
	pccl_allowed_destroy(instance->allowed);
	pccl_wires_destroy(instance->wires);
	pccl_key_wipe(&instance->keys);
	pccl_free(instance->banned);
	pthread_cond_destroy(&instance->answered);
	pthread_mutex_destroy(&instance->joining);
	pthread_mutex_destroy(&instance->lock);
	pccl_free(instance);
}
