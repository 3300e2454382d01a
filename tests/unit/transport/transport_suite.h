/* What every transport must do. A transport's test program includes this and runs SUITE_TESTS with a struct wire_kind
 * as the group's state. */
#ifndef PCCL_TESTS_TRANSPORT_SUITE_H
#define PCCL_TESTS_TRANSPORT_SUITE_H

#include "unit/transport/suite_ends.h"
#include "unit/transport/suite_frames.h"

#define SUITE_TESTS                                                                                                   \
	cmocka_unit_test(frames_both_ways_arrive_in_order_intact_and_complete_once),                                  \
		cmocka_unit_test(frame_of_the_largest_size_arrives),                                                  \
		cmocka_unit_test(discarded_frames_leave_no_trace),                                                    \
		cmocka_unit_test(held_stream_pushes_back_and_goes_on_after_resume),                                   \
		cmocka_unit_test(refused_small_frames_get_room),                                                      \
		cmocka_unit_test(nothing_is_taken_before_the_stream_is_open),                                         \
		cmocka_unit_test(forgotten_frames_are_replaced_before_anything_is_sent),                              \
		cmocka_unit_test(half_sent_frame_is_finished_after_its_payload_is_gone),                              \
		cmocka_unit_test(diverted_payload_goes_to_the_bin), cmocka_unit_test(close_completes_what_is_queued), \
		cmocka_unit_test(flushing_close_delivers_what_is_queued),                                             \
		cmocka_unit_test(last_words_are_heard_though_answers_can_not_be_sent),                                \
		cmocka_unit_test(lingering_stream_is_abandoned_with_its_loop),                                        \
		cmocka_unit_test(dialing_where_nobody_listens_breaks_with_the_address),                               \
		cmocka_unit_test(stream_may_be_closed_inside_any_callback),                                           \
		cmocka_unit_test(listener_may_be_closed_inside_accepted),                                             \
		cmocka_unit_test(stream_changes_loop_and_thread_between_two_frames),                                  \
		cmocka_unit_test(streams_tell_who_they_are_and_what_they_moved)

#endif
