/*
 * RDMA beside TLS, in networks that are trusted: the suite through pairs of queues and declined; who gets to no pair,
 * and that who gets to none goes on over TLS.
 */
#include "unit/transport/rdma/rdma_suite.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fail.h"
#include "transport/rdma/avoid.h"
#include "transport/rdma/terms.h"
#include "unit/transport/rdma/trusted.h"
#include "unit/transport/tls/authority.h"

static const char *const files[] = {"authority.pem", "member.pem",  "member.key",
				    "traitor.pem",   "traitor.key", "revoked.pem"};

static const char *host;
static struct authority ours;

static struct side with_secret, other_secret, of_member, of_traitor, elsewhere, of_other_device, of_both;
static struct wire_kind paired, declining, bare;

static struct pccl_tls *certify(const char *name)
{
	char paths[4][128], file_name[64];
	const struct pccl_tls_config config = {
		.authority = paths[0], .certificate = paths[1], .key = paths[2], .revoked = paths[3]};
	struct pccl_tls *tls;

	authority_path(&ours, "authority.pem", paths[0]);
	snprintf(file_name, sizeof(file_name), "%s.pem", name);
	authority_path(&ours, file_name, paths[1]);
	snprintf(file_name, sizeof(file_name), "%s.key", name);
	authority_path(&ours, file_name, paths[2]);
	authority_path(&ours, "revoked.pem", paths[3]);
	if (pccl_tls_create(&config, &tls) != pcclSuccess)
		fail_msg("%s", pccl_fail_text());
	return tls;
}

static void set_up(void)
{
	char here[80];

	snprintf(here, sizeof(here), "10.0.0.0/8,%s/32", host);
	authority_create(&ours);
	authority_issue(&ours, "member", 10);
	authority_revoke(&ours, authority_issue(&ours, "traitor", 10));
	trust(&with_secret, share('s'), here);
	trust(&other_secret, share('o'), here);
	trust(&of_member, certify("member"), here);
	trust(&of_traitor, certify("traitor"), here);
	trust(&elsewhere, share('s'), "10.0.0.0/8,::/1");
	trust(&of_other_device, share('s'), "127.0.0.2/32");
	trust(&of_both, share('s'), "127.0.0.0/24");
	paired = (struct wire_kind){&with_secret.wire.slots, host, NULL};
	bare = (struct wire_kind){&pccl_rdma, host, NULL};
	declining = (struct wire_kind){with_secret.plain, host, &with_secret.wire.slots};
}

static void tear_down(void)
{
	struct side *const sides[] = {&with_secret, &other_secret,    &of_member, &of_traitor,
				      &elsewhere,   &of_other_device, &of_both};
	size_t i;

	for (i = 0; i < sizeof(sides) / sizeof(sides[0]); i++)
		pccl_tls_destroy(sides[i]->tls);
	authority_destroy(&ours, files, sizeof(files) / sizeof(files[0]));
}

static int use_paired(void **state)
{
	*state = &paired;
	return 0;
}

static int use_declining(void **state)
{
	*state = &declining;
	return 0;
}

static int forget_all(void **state)
{
	(void)state;
	pccl_avoid_nobody(false);
	return 0;
}

/* ---- who joins ----------------------------------------------------------------------------------------------- */

/* NULL: over TLS if something has failed, else not. */
static void check_way(const struct pccl_transport *dials, const struct pccl_transport *listens, const char *way)
{
	char ways[2][PCCL_STREAM_DESCRIBE_BYTES];
	size_t i;

	wire_try(dials, listens, host, ways);
	if (way == NULL)
		way = *standin->failed ? "tls" : "rdma";
	wire_check_ways(ways, way);
	for (i = 0; i < 2; i++)
		assert_int_equal(strstr(ways[i], ", after tls ") != NULL, strncmp(way, "rdma", 4) == 0);
}

static void both_have_to_trust_the_network(void **state)
{
	(void)state;
	check_way(&with_secret.wire.slots, &with_secret.wire.slots, "rdma");
	check_way(&with_secret.wire.slots, with_secret.plain, "tls");
	check_way(with_secret.plain, &with_secret.wire.slots, "tls");
	check_way(&with_secret.wire.slots, &elsewhere.wire.slots, "tls");
	check_way(&elsewhere.wire.slots, &with_secret.wire.slots, "tls");
	check_way(&elsewhere.wire.slots, &elsewhere.wire.slots, "tls");
	check_way(&of_member.wire.slots, &of_member.wire.slots, "rdma");
	check_way(&of_member.wire.slots, of_member.plain, "tls");
}

/* It is where the packets go that has to be trusted, and not where the connection does. */
static void the_network_of_the_devices_counts(void **state)
{
	const struct pccl_transport *first = &with_secret.wire.slots, *second = &of_other_device.wire.slots;

	(void)state;
	if (standin == NULL)
		skip();
	standin->fail_at(2); /* a device is opened, and nothing else made */
	check_way(second, second, "tls");
	assert_false(*standin->failed);
	standin->fail_at(0);
	setenv("PCCL_RDMA_DEVICE", "standin1", 1);
	check_way(second, second, "rdma");
	check_way(first, second, "tls");
	check_way(second, first, "tls");
	unsetenv("PCCL_RDMA_DEVICE");
}

/* Whichever is the first one of this process. */
static void devices_in_other_networks_are_passed_over(void **state)
{
	static const char *const lists[] = {"standin0,standin1", "standin1,standin0"};
	const struct pccl_transport *first = &with_secret.wire.slots, *second = &of_other_device.wire.slots;
	size_t i;

	(void)state;
	if (standin == NULL)
		skip();
	for (i = 0; i < 2; i++) {
		setenv("PCCL_RDMA_DEVICE", lists[i], 1);
		check_way(first, first, "rdma over standin0");
		check_way(second, second, "rdma over standin1");
		check_way(first, second, "tls");
		check_way(&elsewhere.wire.slots, &elsewhere.wire.slots, "tls");
	}
	unsetenv("PCCL_RDMA_DEVICE");
}

/* Who dials can't know: half of the connections are over the one that both have, and not none after a while. */
static void a_device_that_the_other_side_lacks_gets_no_more_than_its_share(void **state)
{
	enum { CONNECTIONS = 4 };
	static struct wire wires[CONNECTIONS];
	const struct wire_kind kind = {&with_secret.wire.slots, host, &of_both.wire.slots};
	char way[PCCL_STREAM_DESCRIBE_BYTES];
	int i, paired_count = 0;

	(void)state;
	if (standin == NULL)
		skip();
	setenv("PCCL_RDMA_DEVICE", "standin0,standin1", 1);
	for (i = 0; i < CONNECTIONS; i++) {
		wire_open(&wires[i], &kind);
		of_both.wire.slots.describe(wires[i].dialer.stream, way, sizeof(way));
		paired_count += strncmp(way, "rdma over standin0", strlen("rdma over standin0")) == 0;
	}
	assert_int_equal(paired_count, CONNECTIONS / 2);
	for (i = 0; i < CONNECTIONS; i++)
		wire_destroy(&wires[i]);
	unsetenv("PCCL_RDMA_DEVICE");
}

/* One of them has nothing that the other one takes, so that both end. */
static void check_refused(const struct pccl_transport *dials, const struct pccl_transport *listens, const char *words)
{
	static struct wire wire;
	const struct wire_kind kind = {listens, host, dials};

	wire_listen(&wire, &kind);
	wire_dial(&wire);
	WIRE_UNTIL(&wire, wire.dialer.calls[WIRE_BROKEN] == 1 && wire.acceptor.calls[WIRE_BROKEN] == 1);
	assert_true(wire.dialer.stream->unfit);
	if (strstr(wire.dialer.reason, words) == NULL)
		fail_msg("who dialled was told: %s", wire.dialer.reason);
	assert_int_equal(wire.acceptor.calls[WIRE_HEADER], 0);
	wire_destroy(&wire);
}

static void who_lacks_the_secret_gets_to_no_pair(void **state)
{
	(void)state;
	if (standin != NULL)
		standin->fail_at(1);
	check_refused(&other_secret.wire.slots, &with_secret.wire.slots, "another join secret");
	check_refused(&with_secret.wire.slots, &of_member.wire.slots, "no TLS connection");
	check_refused(&with_secret.wire.slots, &pccl_rdma, "does not speak TLS");
	assert_true(standin == NULL || !*standin->failed); /* nothing was made */
	if (standin != NULL)
		standin->fail_at(0);
	check_refused(&pccl_rdma, &with_secret.wire.slots, "TLS");
}

/* Who dials with a certificate is up, and offers, before the other side has seen that. */
static void who_is_revoked_gets_to_no_pair(void **state)
{
	const long carried = standin != NULL ? standin->carried() : 0;

	(void)state;
	check_refused(&of_member.wire.slots, &of_traitor.wire.slots, "certificate revoked");
	check_refused(&of_traitor.wire.slots, &of_member.wire.slots, "certificate was revoked");
	assert_true(standin == NULL || standin->carried() == carried);
}

static void who_it_is_is_known_as_over_tls(void **state)
{
	const struct pccl_transport *const listens[] = {&of_member.wire.slots, of_member.plain};
	static struct wire wire;
	char text[PCCL_STREAM_DESCRIBE_BYTES];
	struct pccl_bond bonds[2];
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		const struct wire_kind kind = {listens[i], host, &of_member.wire.slots};

		memset(bonds, i == 0 ? 0 : 0xff, sizeof(bonds));
		wire_open(&wire, &kind);
		listens[i]->describe(wire.dialer.stream, text, sizeof(text));
		assert_int_equal(strncmp(text, i == 0 ? "rdma " : "tls ", i == 0 ? 5 : 4), 0);
		assert_true(listens[i]->bond(wire.dialer.stream, &bonds[0]));
		assert_true(listens[i]->bond(wire.acceptor.stream, &bonds[1]));
		assert_string_equal(bonds[0].name, "member");
		assert_string_equal(bonds[1].name, "member");
		assert_memory_equal(&bonds[0].binding, &bonds[1].binding, sizeof(bonds[0].binding));
		wire_destroy(&wire);
	}
	assert_false(with_secret.wire.slots.seals); /* so that checksums are taken */
}

/* ---- what fails ---------------------------------------------------------------------------------------------- */

static void what_can_not_be_made_is_done_without(void **state)
{
	long nth;

	(void)state;
	if (standin == NULL) {
		skip();
		return;
	}
	for (nth = 1; nth == 1 || *standin->failed; nth++) {
		standin->fail_at(nth);
		check_way(&with_secret.wire.slots, &with_secret.wire.slots, NULL);
		assert_int_equal(standin->left(), 0);
		pccl_avoid_nobody(false);
	}
	assert_true(nth > 10);
	standin->fail_at(0);
}

static void a_way_that_lets_nothing_through_leaves_tls(void **state)
{
	static const enum standin_rule ways[] = {STANDIN_CUT, STANDIN_NARROW, STANDIN_NO_ADDRESS};
	size_t i;

	(void)state;
	if (standin == NULL)
		skip();
	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		pccl_avoid_nobody(false);
		standin->rule(ways[i], true);
		check_way(&with_secret.wire.slots, &with_secret.wire.slots, "tls");
		standin->rule(ways[i], false);
	}
}

/* And the next connection is no plain one. */
static void a_way_that_breaks_leaves_tls(void **state)
{
	static struct wire wire;

	(void)state;
	if (standin == NULL)
		skip();
	wire_open(&wire, &paired);
	assert_true(wire_send(&wire.dialer, 0, NULL, 0));
	WIRE_UNTIL(&wire, wire.acceptor.next == 1);
	standin->rule(STANDIN_CUT, true);
	assert_true(wire_send(&wire.dialer, 1, NULL, 0));
	WIRE_UNTIL(&wire, wire.dialer.calls[WIRE_BROKEN] == 1 && wire.acceptor.calls[WIRE_BROKEN] == 1);
	standin->rule(STANDIN_CUT, false);
	assert_int_equal(wire_completions(&wire.dialer), 2);
	assert_int_equal(wire.acceptor.next, 1);
	wire_destroy(&wire);
	check_way(&with_secret.wire.slots, &with_secret.wire.slots, "tls");
}

/* ---- somebody in between ------------------------------------------------------------------------------------- */

/* Passes on what both say over the connection, and keeps it. */
struct between {
	struct wire wire;
	int door, near, far;
	uint8_t heard[1 << 20];
	size_t bytes;
};

static bool pass(struct between *between, int from, int to)
{
	uint8_t *at = between->heard + between->bytes;
	ssize_t got = recv(from, at, sizeof(between->heard) - between->bytes, MSG_DONTWAIT);

	if (got > 0) {
		between->bytes += (size_t)got;
		assert_int_equal(send(to, at, (size_t)got, MSG_NOSIGNAL), got);
	}
	return got > 0;
}

/* Turns the loop for a moment. Always true, for conditions. */
static bool relay(struct between *between)
{
	while (pass(between, between->near, between->far) || pass(between, between->far, between->near))
		;
	pccl_loop_turn(between->wire.loop, pccl_clock_ns() + 1000000);
	return true;
}

/* `way`: how its stream is to go. */
static void come_between(struct between *between, const struct wire_kind *kind, const char *way)
{
	struct wire *wire = &between->wire;
	char text[PCCL_STREAM_DESCRIBE_BYTES];
	struct pccl_address place;

	wire_listen(wire, kind);
	place = wire->address;
	between->bytes = 0;
	between->door = socket(AF_INET, SOCK_STREAM, 0);
	between->far = socket(AF_INET, SOCK_STREAM, 0);
	pccl_address_set_port(&wire->address, 0);
	assert_int_equal(bind(between->door, (struct sockaddr *)&wire->address.storage, wire->address.bytes), 0);
	assert_int_equal(listen(between->door, 1), 0);
	assert_int_equal(getsockname(between->door, (struct sockaddr *)&wire->address.storage, &wire->address.bytes),
			 0);
	assert_int_equal(connect(between->far, (struct sockaddr *)&place.storage, place.bytes), 0);
	wire_dial(wire);
	between->near = accept(between->door, NULL, NULL);
	WIRE_UNTIL(wire, relay(between) && wire->dialer.calls[WIRE_OPENED] == 1 && wire_is_up(&wire->acceptor));
	kind->transport->describe(wire->acceptor.stream, text, sizeof(text));
	if (strncmp(text, way, strlen(way)) != 0 || text[strlen(way)] != ' ')
		fail_msg("%s, and not over %s", text, way);
}

static void hang_up(struct between *between)
{
	close(between->near);
	close(between->far);
	close(between->door);
}

static bool has_heard(const struct between *between, const uint8_t *payload)
{
	return memmem(between->heard, between->bytes, payload, 32) != NULL;
}

/* It learns nothing of frames, nor of what the two say to come to a pair: whether they come to one or not. */
static void check_secrecy(bool is_cut)
{
	static struct between between;
	struct wire *wire = &between.wire;
	uint8_t *payload = wire_payload(100000, 0), word[PCCL_TERMS_WORD_BYTES];

	if (is_cut)
		standin->rule(STANDIN_CUT, true);
	come_between(&between, &paired, is_cut ? "tls" : "rdma");
	assert_true(wire_send(&wire->dialer, 0, payload, 100000));
	WIRE_UNTIL(wire, relay(&between) && wire->acceptor.next == 1);
	assert_true(wire_send(&wire->acceptor, 0, payload, 100000));
	WIRE_UNTIL(wire, relay(&between) && wire->dialer.next == 1);
	assert_int_equal(between.bytes > 200000, is_cut);
	assert_false(has_heard(&between, payload));
	pccl_terms_encode_word(PCCL_TERMS_OFFER, word);
	assert_false(has_heard(&between, word));
	if (is_cut)
		standin->rule(STANDIN_CUT, false);
	wire_destroy(wire);
	hang_up(&between);
	free(payload);
}

static void who_is_in_between_reads_nothing(void **state)
{
	(void)state;
	check_secrecy(false);
	pccl_avoid_nobody(false);
	if (standin != NULL)
		check_secrecy(true);
}

static void a_connection_that_is_cut_ends_the_stream(void **state)
{
	static struct between between;
	struct wire *wire = &between.wire;
	uint8_t *payload = wire_payload(1000, 0);

	(void)state;
	come_between(&between, &paired, "rdma");
	assert_true(wire_send(&wire->dialer, 0, payload, 1000));
	WIRE_UNTIL(wire, relay(&between) && wire->acceptor.next == 1);
	hang_up(&between);
	WIRE_UNTIL(wire, wire->dialer.calls[WIRE_BROKEN] == 1 && wire->acceptor.calls[WIRE_BROKEN] == 1);
	assert_non_null(strstr(wire->acceptor.reason, "connection reset by"));
	wire_destroy(wire);
	free(payload);
}

/* It writes, and reads nothing. `noise`: bytes that somebody puts in before the connection ends. */
static void check_writer(const struct wire_kind *kind, size_t noise)
{
	static const uint8_t bytes[64] = {0x17, 3, 3, 0, 59};
	static struct between between;
	struct wire *wire = &between.wire;
	uint8_t *payload = wire_payload(MIB / 4, 0);
	uint32_t sent;

	come_between(&between, kind, "rdma");
	wire->acceptor.verdict = wire->dialer.verdict = PCCL_FRAME_HOLD;
	assert_true(wire_send(&wire->acceptor, 0, NULL, 0));
	WIRE_UNTIL(wire, relay(&between) && wire->dialer.calls[WIRE_HEADER] == 1);
	for (sent = 0; wire_send(&wire->dialer, sent, payload, MIB / 4); sent++)
		;
	wire_settle(wire);
	assert_true(sent > 2 && wire->dialer.calls[WIRE_BROKEN] == 0);
	assert_int_equal(send(between.near, bytes, noise, MSG_NOSIGNAL), noise);
	hang_up(&between);
	WIRE_UNTIL(wire, wire->dialer.calls[WIRE_BROKEN] == 1);
	assert_int_equal(wire_completions(&wire->dialer), sent);
	wire_destroy(wire);
	free(payload);
}

static void who_only_writes_notices_the_end(void **state)
{
	(void)state;
	check_writer(&paired, 0);
	check_writer(&bare, 0);
}

/* Bytes that are no record of TLS, or changed ones, and bytes where nobody says anything. */
static void who_only_writes_notices_that_the_connection_is_damaged(void **state)
{
	(void)state;
	check_writer(&paired, 64);
	check_writer(&bare, 1);
}

int main(void)
{
	const struct CMUnitTest suite[] = {SUITE_TESTS};
	const struct CMUnitTest own[] = {
		cmocka_unit_test_setup(both_have_to_trust_the_network, forget_all),
		cmocka_unit_test_setup(the_network_of_the_devices_counts, forget_all),
		cmocka_unit_test_setup(devices_in_other_networks_are_passed_over, forget_all),
		cmocka_unit_test_setup(a_device_that_the_other_side_lacks_gets_no_more_than_its_share, forget_all),
		cmocka_unit_test_setup(who_lacks_the_secret_gets_to_no_pair, forget_all),
		cmocka_unit_test_setup(who_is_revoked_gets_to_no_pair, forget_all),
		cmocka_unit_test_setup(who_it_is_is_known_as_over_tls, forget_all),
		cmocka_unit_test_setup(what_can_not_be_made_is_done_without, forget_all),
		cmocka_unit_test_setup(a_way_that_lets_nothing_through_leaves_tls, forget_all),
		cmocka_unit_test_setup(a_way_that_breaks_leaves_tls, forget_all),
		cmocka_unit_test_setup(who_is_in_between_reads_nothing, forget_all),
		cmocka_unit_test_setup(a_connection_that_is_cut_ends_the_stream, forget_all),
		cmocka_unit_test_setup(who_only_writes_notices_the_end, forget_all),
		cmocka_unit_test_setup(who_only_writes_notices_that_the_connection_is_damaged, forget_all),
	};
	int failed;

	host = rdma_suite_begin();
	set_up();
	pccl_avoid_nobody(true);
	failed = cmocka_run_group_tests_name("RDMA after TLS", suite, use_paired, nothing_is_left);
	failed += cmocka_run_group_tests_name("RDMA after TLS, declined", suite, use_declining, nothing_is_left);
	failed += cmocka_run_group_tests_name("RDMA after TLS and others", own, NULL, nothing_is_left);
	tear_down();
	return failed;
}
