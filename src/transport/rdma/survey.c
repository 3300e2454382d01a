#include "transport/rdma/survey.h"

#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "transport/networks.h"
#include "transport/rdma/verbs.h"

#define GIDS_LOOKED_AT 256

static uint32_t bytes_of(enum ibv_mtu mtu)
{
	return 128u << mtu;
}

static const char *kind_of(const struct ibv_gid_entry *entry)
{
	if (entry->gid_type == IBV_GID_TYPE_IB)
		return "";
	return entry->gid_type == IBV_GID_TYPE_ROCE_V1 ? " (RoCE v1)" : " (RoCE v2)";
}

/* IPv4 as people write it. */
static void put_gid(const struct ibv_gid_entry *entry, char out[PCCL_SURVEY_GID_BYTES])
{
	char text[PCCL_NETWORKS_TEXT_BYTES];

	pccl_networks_text(entry->gid.raw, text);
	(void)snprintf(out, PCCL_SURVEY_GID_BYTES, "%u %s%s", entry->gid_index, text, kind_of(entry));
}

static void look_at_gids(const struct pccl_verbs *verbs, struct ibv_context *context, int table_entries,
			 struct pccl_survey_port *port)
{
	static const uint8_t none[16];
	struct ibv_gid_entry entry;
	int i;

	for (i = 0; i < table_entries && i < GIDS_LOOKED_AT && port->gid_count < PCCL_SURVEY_GIDS; i++) {
		memset(&entry, 0, sizeof(entry));
		if (verbs->query_gid_ex(context, port->port, (uint32_t)i, &entry, 0, sizeof(entry)) == 0 &&
		    memcmp(entry.gid.raw, none, sizeof(none)) != 0)
			put_gid(&entry, port->gids[port->gid_count++]);
	}
}

static void look_at_port(const struct pccl_verbs *verbs, struct ibv_context *context, struct pccl_survey_port *port)
{
	struct ibv_port_attr attributes;

	memset(&attributes, 0, sizeof(attributes));
	if (verbs->query_port(context, port->port, &attributes) != 0)
		return;
	port->up = attributes.state == IBV_PORT_ACTIVE;
	port->link = attributes.link_layer == IBV_LINK_LAYER_INFINIBAND ? "InfiniBand" : "Ethernet";
	port->packet_bytes = bytes_of(attributes.active_mtu);
	port->packet_most = bytes_of(attributes.max_mtu);
	look_at_gids(verbs, context, attributes.gid_tbl_len, port);
}

static void look_at_device(const struct pccl_verbs *verbs, struct ibv_device *device,
			   void (*tell)(void *context, const struct pccl_survey_port *port), void *context)
{
	struct pccl_survey_port port = {.device = verbs->get_device_name(device)};
	struct ibv_context *opened = verbs->open_device(device);
	struct ibv_device_attr attributes;
	unsigned number;

	if (opened == NULL || verbs->query_device(opened, &attributes) != 0) {
		tell(context, &port);
	} else {
		for (number = 1; number <= attributes.phys_port_cnt; number++) {
			port = (struct pccl_survey_port){.device = port.device, .port = (uint8_t)number, .link = "?"};
			look_at_port(verbs, opened, &port);
			tell(context, &port);
		}
	}
	if (opened != NULL)
		(void)verbs->close_device(opened);
}

pcclResult_t pccl_survey(void (*tell)(void *context, const struct pccl_survey_port *port), void *context)
{
	const struct pccl_verbs *verbs;
	struct ibv_device **list;
	pcclResult_t result = pccl_verbs_load(&verbs);
	int count = 0, i;

	if (result != pcclSuccess)
		return result;
	list = verbs->get_device_list(&count);
	for (i = 0; list != NULL && i < count; i++)
		look_at_device(verbs, list[i], tell, context);
	if (list != NULL)
		verbs->free_device_list(list);
	return list != NULL && count > 0 ? pcclSuccess : pccl_fail(pcclSystemError, "this host has no RDMA device");
}
