/* See cable.h. */
#include "cable.h"

#include "chaos_net.h"

#include <time.h>

enum plug { PLUG_NONE, PLUG_DETACHED, PLUG_LAID };

static void await_plug(const int *plug, enum plug wanted)
{
	const struct timespec pause = {0, 1000 * 1000};

	while (__atomic_load_n(plug, __ATOMIC_ACQUIRE) != (int)wanted)
		nanosleep(&pause, NULL);
}

bool bench_cables_begin(uint32_t mbit, struct bench_master *master)
{
	if (mbit == 0)
		return true;
	if (!chaos_net_create())
		return false;
	master->address.inet = chaos_net_address();
	return true;
}

bool bench_cable_enter(struct bench_cable *cable, uint32_t index)
{
	if (cable->mbit == 0)
		return true;
	if (!chaos_net_detach())
		return false;
	__atomic_store_n(&cable->plug, (int)PLUG_DETACHED, __ATOMIC_RELEASE);
	await_plug(&cable->plug, PLUG_LAID);
	return chaos_net_configure(index) && chaos_net_limit_out(cable->mbit);
}

bool bench_cable_lay(struct bench_cable *cable, uint32_t index, pid_t pid)
{
	if (cable->mbit == 0)
		return true;
	await_plug(&cable->plug, PLUG_DETACHED);
	if (!chaos_net_plug(index, pid) || !chaos_net_limit_in(index, cable->mbit))
		return false;
	__atomic_store_n(&cable->plug, (int)PLUG_LAID, __ATOMIC_RELEASE);
	return true;
}
