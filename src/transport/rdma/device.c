#include "transport/rdma/device.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "transport/loop/fork.h"
#include "transport/networks.h"
#include "transport/rdma/rails.h"

#define VARIABLE "PCCL_RDMA_DEVICE"
#define GIDS_MAX 256u /* looked at, of a port */

bool pccl_device_gid_of(const struct pccl_address *address, uint8_t gid_out[PCCL_TERMS_GID_BYTES])
{
	if (address->storage.ss_family == AF_INET) {
		pccl_networks_map(&((const struct sockaddr_in *)&address->storage)->sin_addr, gid_out);
		return true;
	}
	if (address->storage.ss_family != AF_INET6)
		return false;
	memcpy(gid_out, &((const struct sockaddr_in6 *)&address->storage)->sin6_addr, PCCL_TERMS_GID_BYTES);
	return true;
}

/* What is asked of a device: the address, or what the environment says. */
struct wish {
	uint8_t gid[PCCL_TERMS_GID_BYTES];
	char name[64];		/* "": any */
	uint8_t port;		/* 0: any */
	int index;		/* -1: whichever there is */
	char on_infiniband[64]; /* a device that was found to be there */
};

static bool read_number(const char **text, unsigned long most, unsigned long *number_out)
{
	char *end;

	errno = 0;
	*number_out = strtoul(*text, &end, 10);
	if (end == *text || errno != 0 || *number_out > most)
		return false;
	*text = end;
	return true;
}

/* One of the devices in the list. */
static pcclResult_t read_item(const char *text, struct wish *wish)
{
	size_t bytes = strcspn(text, ":,");
	const char *rest = text + bytes;
	unsigned long port = 0, index = 0;
	bool good = bytes > 0 && bytes < sizeof(wish->name);

	if (good)
		(void)snprintf(wish->name, sizeof(wish->name), "%.*s", (int)bytes, text);
	if (good && *rest == ':') {
		rest++;
		good = read_number(&rest, UINT8_MAX, &port) && port > 0;
	}
	if (good && *rest == ':') {
		rest++;
		good = read_number(&rest, GIDS_MAX - 1, &index);
		wish->index = (int)index;
	}
	wish->port = (uint8_t)port;
	if (!good || (*rest != '\0' && *rest != ','))
		return pccl_fail(pcclSystemError, VARIABLE ": \"%s\" is not name[:port[:index]][,...]", text);
	return pcclSuccess;
}

static const char *get_variable(void)
{
	const char *text = getenv(VARIABLE);

	return text != NULL ? text : "";
}

uint32_t pccl_device_rails(void)
{
	const char *text = get_variable();
	uint32_t count = 1;

	for (; *text != '\0' && count < PCCL_RAILS_MAX; text++)
		count += *text == ',';
	return count;
}

static pcclResult_t read_variable(uint32_t rail, struct wish *wish)
{
	const char *text = get_variable();

	if (*text == '\0')
		return pcclSuccess;
	for (rail %= pccl_device_rails(); rail > 0; rail--)
		text = strchr(text, ',') + 1;
	return read_item(text, wish);
}

/* The one of the connection's address; RoCE of the second version, which can be routed, rather than the first; and an
 * address that can. 0: it doesn't serve. */
static int rank(const struct ibv_gid_entry *entry, const struct wish *wish)
{
	const bool is_wished = memcmp(entry->gid.raw, wish->gid, sizeof(wish->gid)) == 0;
	const bool is_link_local = entry->gid.raw[0] == 0xfe && (entry->gid.raw[1] & 0xc0) == 0x80;

	if (wish->name[0] == '\0' && !is_wished)
		return 0;
	return 1 + 4 * is_wished + 2 * (entry->gid_type != IBV_GID_TYPE_ROCE_V1) + !is_link_local;
}

/* The entry of the port's table that serves best. */
static bool choose_gid(struct pccl_device *device, const struct wish *wish, int table_entries)
{
	struct ibv_gid_entry entry;
	int best = 0;
	uint32_t i;

	for (i = 0; i < GIDS_MAX && (int)i < table_entries; i++) {
		if (wish->index >= 0 && wish->index != (int)i)
			continue;
		memset(&entry, 0, sizeof(entry));
		if (device->verbs->query_gid_ex(device->context, device->port, i, &entry, 0, sizeof(entry)) != 0)
			continue;
		if (rank(&entry, wish) <= best)
			continue;
		best = rank(&entry, wish);
		device->gid_index = (uint8_t)i;
		memcpy(device->gid, entry.gid.raw, sizeof(device->gid));
	}
	return best > 0;
}

static bool choose_port(struct pccl_device *device, struct wish *wish)
{
	struct ibv_device_attr attributes;
	struct ibv_port_attr port;
	unsigned i;

	if (device->verbs->query_device(device->context, &attributes) != 0)
		return false;
	for (i = 1; i <= attributes.phys_port_cnt; i++) {
		if (wish->port != 0 && wish->port != i)
			continue;
		memset(&port, 0, sizeof(port));
		device->port = (uint8_t)i;
		if (device->verbs->query_port(device->context, device->port, &port) != 0 ||
		    port.state != IBV_PORT_ACTIVE)
			continue;
		if (port.link_layer == IBV_LINK_LAYER_INFINIBAND)
			(void)snprintf(wish->on_infiniband, sizeof(wish->on_infiniband), "%s",
				       device->verbs->get_device_name(device->context->device));
		if (!choose_gid(device, wish, port.gid_tbl_len))
			continue;
		device->lid = port.lid;
		device->mtu = (uint8_t)port.active_mtu;
		device->link =
			port.link_layer == IBV_LINK_LAYER_INFINIBAND ? PCCL_TERMS_INFINIBAND : PCCL_TERMS_ETHERNET;
		return true;
	}
	return false;
}

/* The descriptors are the library's to close; a child is not to have them. */
static bool open_context(struct pccl_device *device, struct ibv_device *verbs_device)
{
	device->context = device->verbs->open_device(verbs_device);
	if (device->context == NULL)
		return false;
	(void)pccl_fork_own(device->context->cmd_fd);
	(void)pccl_fork_own(device->context->async_fd);
	return true;
}

void pccl_device_close(struct pccl_device *device)
{
	if (device->context == NULL)
		return;
	pccl_fork_disown(device->context->cmd_fd);
	pccl_fork_disown(device->context->async_fd);
	(void)device->verbs->close_device(device->context);
	device->context = NULL;
}

static bool choose_device(struct pccl_device *device, struct wish *wish, struct ibv_device *const *list, int count)
{
	int i;

	for (i = 0; i < count; i++) {
		if (wish->name[0] != '\0' && strcmp(device->verbs->get_device_name(list[i]), wish->name) != 0)
			continue;
		if (open_context(device, list[i]) && choose_port(device, wish))
			return true;
		pccl_device_close(device);
	}
	return false;
}

static pcclResult_t fail_nothing(const struct pccl_address *local, const struct wish *wish, int count)
{
	char text[PCCL_ADDRESS_BYTES];

	pccl_address_text(local, text);
	if (wish->name[0] != '\0')
		return pccl_fail(pcclSystemError,
				 "no RDMA device is %s as " VARIABLE "=%s says, with a port that is up", wish->name,
				 get_variable());
	if (count <= 0)
		return pccl_fail(pcclSystemError, "this host has no RDMA device");
	if (wish->on_infiniband[0] != '\0')
		return pccl_fail(pcclSystemError,
				 "no RDMA device here has the address %s; %s is on InfiniBand, where no device has "
				 "such addresses: " VARIABLE "=%s names it",
				 text, wish->on_infiniband, wish->on_infiniband);
	return pccl_fail(pcclSystemError, "no RDMA device here has the address %s on a port that is up", text);
}

pcclResult_t pccl_device_open(const struct pccl_address *local, uint32_t rail, struct pccl_device *device_out)
{
	struct wish wish = {.index = -1};
	struct ibv_device **list;
	pcclResult_t result;
	bool found = false;
	int count = 0;

	memset(device_out, 0, sizeof(*device_out));
	result = pccl_verbs_load(&device_out->verbs);
	if (result == pcclSuccess && !pccl_device_gid_of(local, wish.gid))
		result = pccl_fail(pcclSystemError, "neither IPv4 nor IPv6");
	if (result == pcclSuccess)
		result = read_variable(rail, &wish);
	if (result != pcclSuccess)
		return result;
	device_out->chosen = wish.name[0] != '\0';
	list = device_out->verbs->get_device_list(&count);
	if (list != NULL) {
		found = choose_device(device_out, &wish, list, count);
		device_out->verbs->free_device_list(list);
	}
	return found ? pcclSuccess : fail_nothing(local, &wish, list != NULL ? count : 0);
}
