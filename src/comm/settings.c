/* One table says for each number: field, variable, default, range. */
#include "comm/settings.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ccoip.h>

#include "base/fail.h"
#include "base/names.h"
#include "base/sized.h"
#include "base/time.h"
#include "comm/cores.h"
#include "transport/link/ways.h"

#define BUNDLE_MAX 1024 /* ranks */

struct number {
	const char *variable;
	uint64_t given; /* 0: not */
	uint64_t fallback;
	uint64_t most;
	uint64_t *value;
};

static pcclResult_t parse_number(const char *variable, const char *text, uint64_t most, uint64_t *value_out)
{
	char *end;

	errno = 0;
	*value_out = strtoull(text, &end, 10);
	/* strtoull() itself lets signs and blanks pass. */
	if (errno != 0 || *text < '0' || *text > '9' || *end != '\0' || *value_out > most)
		return pccl_fail(pcclInvalidArgument, "%s is \"%s\": it wants a number from 0 to %llu", variable, text,
				 (unsigned long long)most);
	return pcclSuccess;
}

static pcclResult_t merge_number(const struct number *number)
{
	const char *text = getenv(number->variable);

	*number->value = number->given;
	if (number->given > number->most)
		return pccl_fail(pcclInvalidArgument,
				 "%llu is too large for the setting that %s also sets: at most %llu",
				 (unsigned long long)number->given, number->variable, (unsigned long long)number->most);
	if (*number->value == 0 && text != NULL && *text != '\0') {
		pcclResult_t result = parse_number(number->variable, text, number->most, number->value);

		if (result != pcclSuccess)
			return result;
	}
	if (*number->value == 0)
		*number->value = number->fallback;
	return pcclSuccess;
}

static pcclResult_t merge_text(const char *variable, const char *given, const char *fallback, char *out,
			       size_t out_bytes)
{
	const char *text = given;

	if (text == NULL || *text == '\0')
		text = getenv(variable);
	if (text == NULL || *text == '\0')
		text = fallback;
	if ((size_t)snprintf(out, out_bytes, "%s", text) >= out_bytes)
		return pccl_fail(pcclInvalidArgument, "the setting that %s also sets is longer than %zu characters",
				 variable, out_bytes - 1);
	return pcclSuccess;
}

/* 0 is the default of every choice. */
pcclResult_t pccl_settings_choice(const char *variable, int given, pcclEnum_t which, int fallback, int *value_out)
{
	const char *text = getenv(variable);
	char known[128];

	*value_out = given;
	pccl_name_list(which, known, sizeof(known));
	if (given == 0 && text != NULL && *text != '\0' && !pccl_name_find(which, text, value_out))
		return pccl_fail(pcclInvalidArgument, "%s is \"%s\": it wants one of %s", variable, text, known);
	if (pccl_name_of(which, *value_out) == NULL)
		return pccl_fail(pcclInvalidArgument,
				 "%d is no value for the setting that %s also sets: it wants one of %s", given,
				 variable, known);
	if (*value_out == 0)
		*value_out = fallback;
	return pcclSuccess;
}

/* Nothing but digits, up to five of them; returns what follows, NULL: it is no port. */
static const char *read_port(const char *text, uint16_t *port_out)
{
	unsigned long port = 0;
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > 5)
		return NULL;
	port = strtoul(text, NULL, 10);
	*port_out = (uint16_t)port;
	return port <= UINT16_MAX ? text + digits : NULL;
}

static bool read_ports(const char *text, struct pccl_settings *settings)
{
	text = read_port(text, &settings->port_first);
	settings->port_last = settings->port_first;
	if (text != NULL && *text == '-')
		text = read_port(text + 1, &settings->port_last);
	return text != NULL && *text == '\0';
}

/* PCCL_PORT=first or first-last. */
static pcclResult_t merge_ports(const pcclConfig_t *config, struct pccl_settings *settings)
{
	const char *text = getenv("PCCL_PORT");

	settings->port_first = config->port_first;
	settings->port_last = config->port_last;
	if (settings->port_first == 0 && settings->port_last != 0)
		return pccl_fail(pcclInvalidArgument, "port_last is %u without port_first", settings->port_last);
	if (settings->port_first == 0 && text != NULL && *text != '\0') {
		if (!read_ports(text, settings) || (settings->port_first == 0 && settings->port_last != 0))
			return pccl_fail(pcclInvalidArgument, "PCCL_PORT is \"%s\": it wants a port or first-last",
					 text);
	}
	if (settings->port_last == 0)
		settings->port_last = settings->port_first;
	if (settings->port_last < settings->port_first)
		return pccl_fail(pcclInvalidArgument, "the listening port range %u-%u is empty", settings->port_first,
				 settings->port_last);
	return pcclSuccess;
}

static uint32_t default_lanes(void)
{
	struct pccl_cores cores;

	pccl_cores_find(&cores);
	return pccl_cores_lanes(&cores);
}

static pcclResult_t merge_numbers(const pcclCommCreateParams_t *params, const pcclConfig_t *config, uint32_t cards,
				  struct pccl_settings *settings)
{
	const uint64_t ms = PCCL_MS_NS, most_ms = UINT32_MAX;
	uint64_t lanes, streams, attempts;
	const uint64_t pool = params->p2p_connection_pool_size;
	const uint64_t streams_given = config->streams != 0	 ? config->streams
				       : pool < PCCL_STREAMS_MAX ? pool
								 : PCCL_STREAMS_MAX;
	const struct number numbers[] = {
		{"PCCL_LANES", config->lanes, 0, PCCL_LANES_MAX, &lanes},
		{"PCCL_STREAMS", streams_given, cards > 1 ? cards : 1, PCCL_STREAMS_MAX, &streams},
		{"PCCL_CONNECT_TIMEOUT_MS", config->connect_timeout_ms, 10000, most_ms, &settings->connect_timeout_ns},
		{"PCCL_CONNECT_ATTEMPTS", config->connect_attempts, 0, UINT32_MAX, &attempts},
		{"PCCL_ADMISSION_TIMEOUT_MS", config->admission_timeout_ms, 0, most_ms,
		 &settings->admission_timeout_ns},
		{"PCCL_OPERATION_TIMEOUT_MS", config->operation_timeout_ms, 0, most_ms,
		 &settings->operation_timeout_ns},
		{"PCCL_JOINT_TIMEOUT_MS", config->joint_timeout_ms, 0, most_ms, &settings->joint_timeout_ns},
		{"PCCL_MASTER_TIMEOUT_MS", config->master_timeout_ms, 0, most_ms, &settings->master_timeout_ns},
		{"PCCL_HEARTBEAT_INTERVAL_MS", config->heartbeat_interval_ms, 500, most_ms,
		 &settings->heartbeat_interval_ns},
		{"PCCL_HEARTBEAT_TIMEOUT_MS", config->heartbeat_timeout_ms, 3000, most_ms,
		 &settings->heartbeat_timeout_ns},
	};
	size_t i;

	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		pcclResult_t result = merge_number(&numbers[i]);

		if (result != pcclSuccess)
			return result;
	}
	settings->lanes = lanes != 0 ? (uint32_t)lanes : default_lanes();
	settings->streams = (uint32_t)streams;
	settings->connect_attempts = (uint32_t)attempts;
	settings->connect_timeout_ns *= ms;
	settings->admission_timeout_ns *= ms;
	settings->operation_timeout_ns *= ms;
	settings->joint_timeout_ns *= ms;
	settings->master_timeout_ns *= ms;
	settings->heartbeat_interval_ns *= ms;
	settings->heartbeat_timeout_ns *= ms;
	if (settings->heartbeat_timeout_ns < 2 * settings->heartbeat_interval_ns)
		return pccl_fail(pcclInvalidArgument,
				 "the heartbeat timeout (%llu ms) must be at least twice the interval "
				 "(%llu ms)",
				 (unsigned long long)(settings->heartbeat_timeout_ns / ms),
				 (unsigned long long)(settings->heartbeat_interval_ns / ms));
	return pcclSuccess;
}

/* An address, or what may be a name: that is resolved when it is needed. */
static bool may_be_host(const char *text)
{
	struct pccl_address address;

	if (pccl_address_numeric(text, 0, &address) == pcclSuccess)
		return true;
	return strspn(text, "0123456789.") != strlen(text) &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == strlen(text);
}

static pcclResult_t check_addresses(const struct pccl_settings *settings)
{
	const char *listen = settings->listen_address, *advertised = settings->advertised_address;
	char list[sizeof(settings->advertised_address)], host[sizeof(settings->advertised_address)];
	char *rest = list, *text;
	uint16_t port;

	if (*listen != '\0' && !may_be_host(listen))
		return pccl_fail(pcclInvalidArgument,
				 "the listening address \"%s\" (PCCL_LISTEN_ADDRESS) is no address and no name: it has "
				 "no port, which goes into PCCL_PORT",
				 listen);
	memcpy(list, advertised, sizeof(list));
	while ((text = strsep(&rest, ",")) != NULL) {
		if (*text == '\0' ||
		    (pccl_address_split(text, 0, host, sizeof(host), &port) == pcclSuccess && may_be_host(host)))
			continue;
		return pccl_fail(pcclInvalidArgument,
				 "the advertised address \"%s\" (PCCL_ADVERTISED_ADDRESS) is no host, nor host:port",
				 text);
	}
	return pcclSuccess;
}

/* Names of what this host may not have yet, or no more; how many. */
static pcclResult_t check_interfaces(const char *names, uint32_t *count_out)
{
	char list[sizeof(((struct pccl_settings *)NULL)->interfaces)];
	const char *seen[PCCL_CARDS_MAX];
	char *rest = list, *name;
	uint32_t count = 0, i;

	(void)snprintf(list, sizeof(list), "%s", names);
	while (*names != '\0' && (name = strsep(&rest, ",")) != NULL) {
		const size_t length = strlen(name);

		if (length == 0 || length >= IF_NAMESIZE || strcspn(name, " \t/:") != length)
			return pccl_fail(pcclInvalidArgument,
					 "\"%s\" names no network interfaces (PCCL_INTERFACES): it wants names with "
					 "commas between, eth0,eth1",
					 names);
		for (i = 0; i < count; i++)
			if (strcmp(name, seen[i]) == 0)
				return pccl_fail(pcclInvalidArgument, "\"%s\" (PCCL_INTERFACES) names %s twice", names,
						 name);
		if (count == PCCL_CARDS_MAX)
			return pccl_fail(pcclInvalidArgument,
					 "\"%s\" (PCCL_INTERFACES) names more than %u network interfaces", names,
					 PCCL_CARDS_MAX);
		seen[count++] = name;
	}
	*count_out = count;
	return pcclSuccess;
}

/* PCCL_BUNDLE=id/size. */
static pcclResult_t merge_bundle(const pcclConfig_t *config, struct pccl_settings *settings)
{
	const char *text = getenv("PCCL_BUNDLE");
	const char *slash = text != NULL ? strchr(text, '/') : NULL;
	uint64_t size = config->bundle_size;
	char id[24];

	settings->bundle_id = config->bundle_id;
	if (settings->bundle_id == 0 && size == 0 && text != NULL && *text != '\0') {
		(void)snprintf(id, sizeof(id), "%.*s", slash != NULL ? (int)(slash - text) : 0, text);
		if (slash == NULL || parse_number("id", id, UINT64_MAX, &settings->bundle_id) != pcclSuccess ||
		    parse_number("size", slash + 1, UINT64_MAX, &size) != pcclSuccess)
			return pccl_fail(pcclInvalidArgument, "PCCL_BUNDLE is \"%s\": it wants id/size", text);
	}
	if ((settings->bundle_id == 0) != (size == 0))
		return pccl_fail(pcclInvalidArgument, "a bundle (PCCL_BUNDLE=id/size) needs both an id and a size");
	if (size > BUNDLE_MAX)
		return pccl_fail(pcclInvalidArgument, "a bundle (PCCL_BUNDLE=id/size) of %llu is too large: at most %d",
				 (unsigned long long)size, BUNDLE_MAX);
	settings->bundle_size = (uint32_t)size;
	return pcclSuccess;
}

/* Words that nobody would hear are worse than none. */
static pcclResult_t check_log_level(void)
{
	const char *text = getenv("PCCL_LOG_LEVEL");
	char known[64];
	int level;

	if (text == NULL || *text == '\0' || pccl_name_find(pcclEnumLogLevel, text, &level))
		return pcclSuccess;
	pccl_name_list(pcclEnumLogLevel, known, sizeof(known));
	return pccl_fail(pcclInvalidArgument, "PCCL_LOG_LEVEL is \"%s\": it wants one of %s", text, known);
}

static pcclResult_t merge_texts(const pcclConfig_t *config, struct pccl_settings *settings)
{
	pcclResult_t result =
		merge_text("PCCL_MASTERS", config->masters, "", settings->masters, sizeof(settings->masters));

	if (result == pcclSuccess)
		result = merge_text("PCCL_LISTEN_ADDRESS", config->listen_address, "", settings->listen_address,
				    sizeof(settings->listen_address));
	if (result == pcclSuccess)
		result = merge_text("PCCL_ADVERTISED_ADDRESS", config->advertised_address, "",
				    settings->advertised_address, sizeof(settings->advertised_address));
	if (result == pcclSuccess)
		result = merge_text("PCCL_INTERFACES", config->interfaces, "", settings->interfaces,
				    sizeof(settings->interfaces));
	return result;
}

/* Port 0: there is none. */
static pcclResult_t check_first_master(const ccoip_socket_address_t *master)
{
	struct pccl_address address;

	return master->port == 0 ? pcclSuccess : pccl_address_from_ccoip(master, &address);
}

static const struct pccl_sized config_kind = {"config", "PCCL_CONFIG_INITIALIZER", sizeof(size_t),
					      offsetof(pcclConfig_t, reserved)};

static pcclResult_t add_master(const char *text, struct pccl_master_place *places, uint32_t *count)
{
	struct pccl_master_place *place = &places[*count];
	pcclResult_t result =
		pccl_address_split(text, CCOIP_PROTOCOL_PORT_MASTER, place->host, sizeof(place->host), &place->port);

	if (result == pcclSuccess)
		(*count)++;
	return result;
}

static pcclResult_t add_first(const ccoip_socket_address_t *first, struct pccl_master_place *place)
{
	char host[PCCL_ADDRESS_BYTES];
	struct pccl_address address;
	pcclResult_t result = pccl_address_from_ccoip(first, &address);

	if (result != pcclSuccess)
		return result;
	pccl_address_text(&address, host);
	memcpy(place->host, host, sizeof(host));
	place->port = first->port;
	return pcclSuccess;
}

/* Blanks around it are not meant. */
static char *trimmed(char *text)
{
	size_t length;

	text += strspn(text, " \t\n");
	for (length = strlen(text); length > 0 && strchr(" \t\n", text[length - 1]) != NULL; length--)
		text[length - 1] = '\0';
	return text;
}

/* None is no mistake yet. */
static pcclResult_t list_masters(const struct pccl_settings *settings, const ccoip_socket_address_t *first,
				 struct pccl_master_place places_out[PCCL_MASTERS_MAX], uint32_t *count_out)
{
	char list[sizeof(settings->masters)];
	char *rest = list, *text;

	*count_out = 0;
	if (first->port != 0) {
		pcclResult_t result = add_first(first, &places_out[0]);

		if (result != pcclSuccess)
			return result;
		*count_out = 1;
	}
	memcpy(list, settings->masters, sizeof(list));
	while ((text = strsep(&rest, ",")) != NULL) {
		pcclResult_t result;

		text = trimmed(text);
		if (*text == '\0')
			continue;
		if (*count_out == PCCL_MASTERS_MAX)
			return pccl_fail(pcclInvalidArgument, "more than %d masters are listed", PCCL_MASTERS_MAX);
		result = add_master(text, places_out, count_out);
		if (result != pcclSuccess)
			return result;
	}
	return pcclSuccess;
}

static pcclResult_t check_masters(const struct pccl_settings *settings, const ccoip_socket_address_t *first)
{
	struct pccl_master_place places[PCCL_MASTERS_MAX];
	uint32_t count;

	return list_masters(settings, first, places, &count);
}

pcclResult_t pccl_settings_merge(const pcclCommCreateParams_t *params, const pcclConfig_t *config,
				 struct pccl_settings *settings_out)
{
	pcclConfig_t full = PCCL_CONFIG_INITIALIZER;
	int policy = pcclPolicyAbort, plan = pcclPlanAuto, zstd = pcclZstdOff, state_zstd = pcclZstdAuto,
	    checksums = pcclChecksumsAuto, late = pcclLateFail, transport = pcclTransportAuto, verify = pcclVerifyOff,
	    binding = pcclBindingAuto;
	uint32_t cards = 0;
	pcclResult_t result;

	memset(settings_out, 0, sizeof(*settings_out));
	result = config != NULL ? pccl_sized_read(&config_kind, config, &full) : pcclSuccess;
	if (result == pcclSuccess)
		result = check_first_master(&params->master_address);
	if (result == pcclSuccess)
		result = merge_texts(&full, settings_out);
	if (result == pcclSuccess)
		result = check_addresses(settings_out);
	if (result == pcclSuccess)
		result = check_interfaces(settings_out->interfaces, &cards);
	if (result == pcclSuccess)
		result = check_masters(settings_out, &params->master_address);
	if (result == pcclSuccess)
		result = merge_numbers(params, &full, cards, settings_out);
	if (result == pcclSuccess)
		result = merge_ports(&full, settings_out);
	if (result == pcclSuccess)
		result = merge_bundle(&full, settings_out);
	if (result == pcclSuccess)
		result = check_log_level();
	if (result == pcclSuccess)
		result = pccl_settings_choice("PCCL_FAILURE_POLICY", (int)full.failure_policy, pcclEnumFailurePolicy,
					      pcclPolicyAbort, &policy);
	if (result == pcclSuccess)
		result = pccl_settings_choice("PCCL_PLAN", (int)full.plan, pcclEnumPlan, pcclPlanAuto, &plan);
	if (result == pcclSuccess)
		result = pccl_settings_choice("PCCL_ZSTD", (int)full.zstd, pcclEnumZstd, pcclZstdOff, &zstd);
	if (result == pcclSuccess)
		result = pccl_settings_choice("PCCL_ZSTD", (int)full.zstd, pcclEnumZstd, pcclZstdAuto, &state_zstd);
	if (result == pcclSuccess)
		result = pccl_settings_choice("PCCL_CHECKSUMS", (int)full.checksums, pcclEnumChecksums,
					      pcclChecksumsAuto, &checksums);
	if (result == pcclSuccess)
		result = pccl_settings_choice("PCCL_LATE_MEMBERS", (int)full.late_members, pcclEnumLate, pcclLateFail,
					      &late);
	if (result == pcclSuccess)
		result = pccl_settings_choice("PCCL_TRANSPORT", (int)full.transport, pcclEnumTransport,
					      pcclTransportAuto, &transport);
	if (result == pcclSuccess)
		result = pccl_settings_choice("PCCL_VERIFY", (int)full.verify, pcclEnumVerify, pcclVerifyOff, &verify);
	if (result == pcclSuccess)
		result = pccl_settings_choice("PCCL_BINDING", (int)full.binding, pcclEnumBinding, pcclBindingAuto,
					      &binding);
	settings_out->security = full.security;
	settings_out->binding = (pcclBinding_t)binding;
	settings_out->verify = (pcclVerify_t)verify;
	settings_out->transport = (pcclTransport_t)transport;
	settings_out->late_members = (pcclLate_t)late;
	settings_out->failure_policy = (pcclFailurePolicy_t)policy;
	settings_out->plan = (pcclPlan_t)plan;
	settings_out->zstd = (pcclZstd_t)zstd;
	settings_out->state_zstd = (pcclZstd_t)state_zstd;
	settings_out->checksums = (pcclChecksums_t)checksums;
	return result;
}

pcclResult_t pccl_settings_masters(const struct pccl_settings *settings, const ccoip_socket_address_t *first,
				   struct pccl_master_place places_out[PCCL_MASTERS_MAX], uint32_t *count_out)
{
	pcclResult_t result = list_masters(settings, first, places_out, count_out);

	if (result == pcclSuccess && *count_out == 0)
		return pccl_fail(pcclInvalidArgument,
				 "no master: give master_address, pcclConfig_t.masters or PCCL_MASTERS");
	return result;
}
