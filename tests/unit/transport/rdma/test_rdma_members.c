/* RDMA beside TLS: what somebody with the secret may try, who is known, and is not trusted any further for that. */
#include "unit/transport/wire.h"

#include <sys/socket.h>
#include <unistd.h>

#include "lib/device.h"
#include "transport/engine/engine.h"
#include "transport/rdma/avoid.h"
#include "transport/rdma/pair.h"
#include "transport/rdma/trials.h"
#include "unit/transport/rdma/trusted.h"

#define LIST "127.0.0.1/32"

static const struct standin_verbs *standin;
static struct side ours;
static struct wire_kind kind = {&ours.wire.slots, "127.0.0.1", NULL};

/* Somebody with the secret, and a pair of its own, that says what it likes. */
struct member {
	struct wire *wire;
	int fd;
	const struct pccl_byte_calls *bytes;
	void *state;
	struct pccl_pair *pair;
	size_t heard_bytes;
	uint8_t heard[PCCL_TERMS_WORD_BYTES + PCCL_TERMS_END_BYTES];
};

static struct member come(struct wire *wire)
{
	const struct pccl_transport *transport = pccl_tls_wire_with_offers(ours.tls);
	struct member member = {.wire = wire, .fd = socket(AF_INET, SOCK_STREAM, 0), .bytes = transport->bytes};
	struct pccl_address local = {.bytes = sizeof(local.storage)};

	wire_listen(wire, &kind);
	assert_int_equal(connect(member.fd, (struct sockaddr *)&wire->address.storage, wire->address.bytes), 0);
	assert_int_equal(getsockname(member.fd, (struct sockaddr *)&local.storage, &local.bytes), 0);
	assert_int_equal(member.bytes->begin(transport, member.fd, true, &member.state), pcclSuccess);
	WIRE_UNTIL(wire, member.bytes->shake(member.state, member.fd) == PCCL_SHAKE_DONE);
	assert_true(member.bytes->hears_offers(member.state));
	assert_int_equal(pccl_pair_create(&local, 0, NULL, &member.pair), pcclSuccess);
	return member;
}

static void leave(struct member *member)
{
	member->bytes->end(member->state);
	close(member->fd);
	pccl_pair_destroy(member->pair);
	wire_destroy(member->wire);
}

static void put(struct member *member, uint8_t *bytes, size_t count)
{
	struct iovec part = {bytes, count};
	bool more;

	assert_int_equal(member->bytes->write(member->state, member->fd, &part, 1, &more), count);
}

static void say(struct member *member, enum pccl_terms_word word, const struct pccl_terms_end *end)
{
	uint8_t bytes[PCCL_TERMS_WORD_BYTES + PCCL_TERMS_END_BYTES];

	pccl_terms_encode_word(word, bytes);
	if (end != NULL)
		pccl_terms_encode_end(end, bytes + PCCL_TERMS_WORD_BYTES);
	put(member, bytes, end != NULL ? sizeof(bytes) : PCCL_TERMS_WORD_BYTES);
}

static bool has_come(struct member *member, size_t count)
{
	struct iovec part = {member->heard + member->heard_bytes, count - member->heard_bytes};
	bool more;
	ssize_t got = 0;

	if (member->heard_bytes < count)
		got = member->bytes->read(member->state, member->fd, &part, 1, &more);
	member->heard_bytes += got > 0 ? (size_t)got : 0;
	return member->heard_bytes == count;
}

static enum pccl_terms_word hear(struct member *member, struct pccl_terms_end *end_out)
{
	enum pccl_terms_word word;

	WIRE_UNTIL(member->wire, has_come(member, end_out != NULL ? sizeof(member->heard) : PCCL_TERMS_WORD_BYTES));
	member->heard_bytes = 0;
	assert_true(pccl_terms_decode_word(member->heard, &word));
	if (end_out != NULL)
		assert_true(pccl_terms_decode_end(member->heard + PCCL_TERMS_WORD_BYTES, end_out));
	return word;
}

/* `unlike`: the bits of a byte of its address that it does not tell as they are. Returns the answer. */
static enum pccl_terms_word offer_and_tell(struct member *member, uint32_t byte, uint8_t unlike)
{
	struct pccl_terms_end end;

	say(member, PCCL_TERMS_OFFER, NULL);
	assert_int_equal(hear(member, &end), PCCL_TERMS_TAKEN);
	assert_int_equal(pccl_pair_join(member->pair, &end, &member->wire->address), pcclSuccess);
	pccl_pair_tell(member->pair, &end);
	end.gid[byte] ^= unlike;
	say(member, PCCL_TERMS_JOINED, &end);
	return hear(member, NULL);
}

static void offer_and_join(struct member *member)
{
	assert_int_equal(offer_and_tell(member, 0, 0), PCCL_TERMS_READY);
}

/* A device may be named by hand, and then the other side names its address: any in a trusted network, and no other. */
static void an_end_in_another_network_is_declined(void **state)
{
	static struct wire wire;
	struct member member;

	(void)state;
	setenv("PCCL_RDMA_DEVICE", "standin0", 1);
	member = come(&wire);
	assert_int_equal(offer_and_tell(&member, 13, 9), PCCL_TERMS_DECLINED); /* 127.9.0.1 */
	WIRE_UNTIL(&wire, wire_is_up(&wire.acceptor));
	leave(&member);
	unsetenv("PCCL_RDMA_DEVICE");
}

/* A list says nothing of what is between two networks of it. */
static enum pccl_terms_word offer_to(const char *list, uint8_t unlike)
{
	static struct wire wire;
	struct member member;
	enum pccl_terms_word answer;

	assert_int_equal(pccl_networks_parse(list, "list", &ours.wire.trusted), pcclSuccess);
	member = come(&wire);
	answer = offer_and_tell(&member, 15, unlike);
	WIRE_UNTIL(&wire, wire_is_up(&wire.acceptor));
	leave(&member);
	assert_int_equal(pccl_networks_parse(LIST, "list", &ours.wire.trusted), pcclSuccess);
	return answer;
}

static void ends_in_two_networks_of_the_list_are_declined(void **state)
{
	(void)state;
	setenv("PCCL_RDMA_DEVICE", "standin0", 1); /* 127.0.0.1 */
	assert_int_equal(offer_to("127.0.0.1/32,127.0.0.2/32", 3), PCCL_TERMS_DECLINED);
	assert_int_equal(offer_to("127.0.0.1/32,127.0.0.2/32", 0), PCCL_TERMS_READY);
	assert_int_equal(offer_to("127.0.0.1/32,127.0.0.2/32,127.0.0.0/30", 3), PCCL_TERMS_READY);
	unsetenv("PCCL_RDMA_DEVICE");
}

/* Nor is anything told of this side's end where it is in none. */
static void offers_of_an_end_in_another_network_are_declined(void **state)
{
	static struct wire wire;
	struct member member;

	(void)state;
	setenv("PCCL_RDMA_DEVICE", "standin1", 1); /* 127.0.0.2 */
	member = come(&wire);
	say(&member, PCCL_TERMS_OFFER, NULL);
	assert_int_equal(hear(&member, NULL), PCCL_TERMS_DECLINED);
	WIRE_UNTIL(&wire, wire_is_up(&wire.acceptor));
	leave(&member);
	unsetenv("PCCL_RDMA_DEVICE");
}

static void who_offers_nothing_goes_on_over_tls(void **state)
{
	static struct wire wire;
	struct member member = come(&wire);
	const struct pccl_frame frame = {.type = PCCL_FRAME_PARTIAL};
	uint8_t header[PCCL_FRAME_BYTES];

	(void)state;
	pccl_frame_encode(&frame, header);
	put(&member, header, 3);
	wire_settle(&wire);
	put(&member, header + 3, PCCL_FRAME_BYTES - 3);
	WIRE_UNTIL(&wire, wire.acceptor.calls[WIRE_RECEIVED] == 1);
	leave(&member);
}

static void bytes_on_the_connection_break_the_stream(void **state)
{
	static struct wire wire;
	struct member member = come(&wire);
	uint8_t bytes[] = {1, 2, 3};

	(void)state;
	offer_and_join(&member);
	wire_settle(&wire);
	put(&member, bytes, sizeof(bytes));
	WIRE_UNTIL(&wire, wire.acceptor.calls[WIRE_BROKEN] == 1);
	leave(&member);
}

/* It could change what is read there, or have the stream end. */
static void bytes_that_nobody_sealed_break_the_stream(void **state)
{
	static struct wire wire;
	struct member member = come(&wire);

	(void)state;
	offer_and_join(&member);
	wire_settle(&wire);
	assert_int_equal(send(member.fd, "bytes of somebody in between", 28, MSG_NOSIGNAL), 28);
	WIRE_UNTIL(&wire, wire.acceptor.calls[WIRE_BROKEN] == 1);
	if (strstr(wire.acceptor.reason, "the TLS connection broke") == NULL)
		fail_msg("%s", wire.acceptor.reason);
	leave(&member);
}

/* Puts bytes in that nobody has sealed, before there is a pair: why it breaks is in words all the same. */
static void check_damage(struct member *member)
{
	struct wire *wire = member->wire;

	wire_settle(wire);
	assert_int_equal(wire->acceptor.calls[WIRE_BROKEN], 0);
	assert_int_equal(send(member->fd, "bytes of somebody in between", 28, MSG_NOSIGNAL), 28);
	WIRE_UNTIL(wire, wire->acceptor.calls[WIRE_BROKEN] == 1);
	if (strstr(wire->acceptor.reason, "the TLS connection broke") == NULL)
		fail_msg("%s", wire->acceptor.reason);
	leave(member);
}

static void bytes_that_nobody_sealed_come_before_any_word(void **state)
{
	static struct wire wire;
	struct member member = come(&wire);

	(void)state;
	check_damage(&member);
}

static void bytes_that_nobody_sealed_come_while_others_are_at_it(void **state)
{
	static struct pccl_trial others[256];
	static struct wire wire;
	struct member member = come(&wire);
	size_t i, count = 0;

	(void)state;
	while (count < 256 && pccl_trial_begin(&others[count], &wire.address))
		count++;
	assert_true(count < 256);
	say(&member, PCCL_TERMS_OFFER, NULL);
	check_damage(&member);
	for (i = 0; i < count; i++)
		pccl_trial_end(&others[i]);
}

static void bytes_that_nobody_sealed_come_during_the_trial(void **state)
{
	static struct wire wire;
	struct member member = come(&wire);
	struct pccl_terms_end end;

	(void)state;
	standin->rule(STANDIN_HELD, true);
	say(&member, PCCL_TERMS_OFFER, NULL);
	assert_int_equal(hear(&member, &end), PCCL_TERMS_TAKEN);
	assert_int_equal(pccl_pair_join(member.pair, &end, &wire.address), pcclSuccess);
	pccl_pair_tell(member.pair, &end);
	say(&member, PCCL_TERMS_JOINED, &end);
	check_damage(&member);
	standin->rule(STANDIN_HELD, false);
}

/* Of who says that it ends; and of who is killed, and says nothing. */
static void check_last_words(bool is_killed, const char *words)
{
	static struct wire wire;
	struct member member = come(&wire);
	const struct pccl_frame frame = {.type = PCCL_FRAME_PARTIAL};

	offer_and_join(&member);
	pccl_frame_encode(&frame, pccl_pair_out(member.pair));
	assert_true(pccl_pair_send(member.pair, 0, PCCL_FRAME_BYTES, PCCL_FRAME_BYTES));
	while (!pccl_pair_all_acked(member.pair))
		assert_true(pccl_pair_note_sent(member.pair));
	if (is_killed)
		assert_int_equal(shutdown(member.fd, SHUT_RDWR), 0);
	else
		assert_true(member.bytes->shut_down(member.state, member.fd));
	WIRE_UNTIL(&wire, wire.acceptor.calls[WIRE_BROKEN] == 1);
	assert_int_equal(wire.acceptor.calls[WIRE_RECEIVED], 1);
	if (strstr(wire.acceptor.reason, words) == NULL)
		fail_msg("%s", wire.acceptor.reason);
	leave(&member);
}

static void last_words_through_the_pair_are_read(void **state)
{
	(void)state;
	check_last_words(false, "closed by");
	check_last_words(true, "reset by");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_end_in_another_network_is_declined),
		cmocka_unit_test(ends_in_two_networks_of_the_list_are_declined),
		cmocka_unit_test(offers_of_an_end_in_another_network_are_declined),
		cmocka_unit_test(who_offers_nothing_goes_on_over_tls),
		cmocka_unit_test(bytes_on_the_connection_break_the_stream),
		cmocka_unit_test(bytes_that_nobody_sealed_break_the_stream),
		cmocka_unit_test(bytes_that_nobody_sealed_come_before_any_word),
		cmocka_unit_test(bytes_that_nobody_sealed_come_while_others_are_at_it),
		cmocka_unit_test(bytes_that_nobody_sealed_come_during_the_trial),
		cmocka_unit_test(last_words_through_the_pair_are_read),
	};
	int failed;

	standin = check_standin_verbs();
	pccl_avoid_nobody(true);
	trust(&ours, share('s'), LIST);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	pccl_tls_destroy(ours.tls);
	return failed;
}
